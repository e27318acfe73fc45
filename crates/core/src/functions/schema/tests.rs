use super::*;

fn schema(tables: &str) -> DatabaseSchema {
    DatabaseSchema::from_json(&format!(r#"{{"version":1,"tables":[{tables}]}}"#)).unwrap()
}

#[test]
fn the_hash_knows_no_order_and_no_spelling() {
    let a = schema(
        r#"{"name":"a","columns":[{"name":"x","type":"text","default":"(lower( 'A' ))"},{"name":"y","type":"text"}]},
           {"name":"b","columns":[{"name":"x","type":"text"}]}"#,
    );
    let b = schema(
        r#"{"name":"b","columns":[{"name":"x","type":"text"}]},
           {"name":"a","columns":[{"name":"y","type":"text"},{"name":"x","type":"text","default":"LOWER('A')"}]}"#,
    );
    let c = schema(r#"{"name":"b","columns":[{"name":"x","type":"text"}]}"#);
    assert_eq!(schema_hash(&a), schema_hash(&b));
    assert_ne!(schema_hash(&a), schema_hash(&c));
}

#[test]
fn what_must_be_decided_is_told_in_these_words() {
    let plan = SchemaPlan {
        questions: vec![
            SchemaQuestion::Cast {
                column: "users.name".into(),
                from: ColumnType::Text,
                to: ColumnType::Integer,
            },
            SchemaQuestion::Renamed { from: "users.a".into(), to: vec!["users.b".into()] },
            SchemaQuestion::Required { column: "users.age".into(), rows: 3 },
        ],
        losses: vec![SchemaLoss { what: "posts".into(), is_column: false, count: 2 }],
        ..SchemaPlan::default()
    };
    let told = plan.open_decisions(false).unwrap();
    let expected = "Column type changes need a decision:\n  users.name: text → integer\n\
                    Renamed, or removed and added?\n  users.a: --rename users.a=users.b or --drop users.a\n\
                    Required columns need a value for the rows that are there:\n  users.age: 3 rows; give it a default, or \
                    --backfill users.age=<json>\n\
                    This would lose data; allow it with --allow-destructive:\n  table posts: 2 rows";
    assert_eq!(told, expected);
    assert_eq!(SchemaPlan::default().open_decisions(false), None);
}
