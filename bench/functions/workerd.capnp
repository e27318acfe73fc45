# workerd without Wrangler around it: the leanest way to run the reference, and nothing else to be measured.
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "reference", worker = .reference),
    (name = "disk", disk = (path = "given on the command line", writable = true)),
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "reference")],
);

const reference :Workerd.Worker = (
  modules = [(name = "worker.js", esModule = embed "node_modules/.cache/worker.js")],
  compatibilityDate = "2025-05-07",
  compatibilityFlags = ["nodejs_compat", "enable_request_signal"],
  durableObjectNamespaces = [(className = "Database", uniqueKey = "database", enableSql = true)],
  durableObjectStorage = (localDisk = "disk"),
  bindings = [(name = "DATABASE", durableObjectNamespace = "Database")],
);
