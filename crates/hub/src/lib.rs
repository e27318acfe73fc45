//! The hub: actors, control plane, routes per sync model, configuration, metrics.

mod api_document;
mod backup;
pub mod clock;
pub mod config;
mod connections;
mod console;
mod dashboard;
pub mod data_dir;
pub mod database;
mod database_host;
pub mod descriptors;
pub mod doctor;
mod entry;
pub mod events;
mod fanout;
pub mod functions;
mod health;
pub mod http;
pub mod hub;
pub mod lineage;
mod listener;
pub mod mail;
mod memory;
mod metric_help;
mod models;
mod monotonic;
mod oauth;
mod openapi;
pub mod ops;
pub mod pages;
mod process_metrics;
mod reach;

pub mod records;
pub mod rights;
mod rights_end;
mod routes;
mod rpc;
mod series;
pub mod server;
mod shell;
mod shells;
mod static_files;
pub mod tls;
pub mod traces;
#[cfg(test)]
mod written_page;
