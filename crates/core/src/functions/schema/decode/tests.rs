use super::*;

fn read(json: &str) -> Result<DatabaseSchema, BadSchema> {
    DatabaseSchema::from_json(json)
}

fn told(json: &str) -> String {
    read(json).unwrap_err().to_string()
}

#[test]
fn what_is_unique_is_an_index() {
    let schema = read(
        r#"{"version":1,"tables":[{"name":"users","columns":[
            {"name":"id","type":"integer","notNull":false,"primaryKey":true,"autoincrement":true,"unique":null,"default":null,"generated":null,"mode":"number"},
            {"name":"email","type":"text","notNull":true,"unique":"users_email_unique"},
            {"name":"age","type":"integer"}],
          "primaryKey":null,"uniques":[{"name":"u","columns":["email","age"]}],
          "checks":[{"name":"adult","value":"\"users\".\"age\" > 17"}]}],
         "indexes":[{"name":"by_age","table":"users","columns":["\"age\" desc"],"unique":false,"where":"users.age > 1"}]}"#,
    )
    .unwrap();
    assert!(schema.tables[0].columns[0].not_null, "a rowid is never null");
    let indexes: Vec<(&str, bool, Vec<&str>)> = schema
        .indexes
        .iter()
        .map(|index| (&*index.name, index.unique, index.columns.iter().map(String::as_str).collect()))
        .collect();
    let expected = [
        ("users_email_unique", true, vec!["\"email\""]),
        ("u", true, vec!["\"email\"", "\"age\""]),
        ("by_age", false, vec!["\"age\" desc"]),
    ];
    assert_eq!(indexes, expected);
    assert_eq!(schema.tables[0].checks[0].expression, "\"age\" > 17");
    assert_eq!(schema.indexes[2].condition.as_deref(), Some("age > 1"));
}

#[test]
fn mistakes_name_table_and_column() {
    let table = |columns: &str, rest: &str| {
        format!(r#"{{"version":1,"tables":[{{"name":"users","columns":[{columns}]{rest}}}]}}"#)
    };
    for (json, message) in [
        (r#"{"version":2}"#.to_owned(), "version 2"),
        (table("", ""), "users: a table has 1 to"),
        (table(r#"{"name":"a","type":"varchar"}"#, ""), "users.a: type varchar"),
        (table(r#"{"name":"a","type":"text","default":"0; DROP TABLE x"}"#, ""), "users.a: default: 0; DROP TABLE x: it holds a semicolon"),
        (table(r#"{"name":"a","type":"text"},{"name":"A","type":"text"}"#, ""), "users.A: two columns"),
        (table(r#"{"name":"a","type":"text"}"#, r#","primaryKey":{"name":"p","columns":["b"]}"#), "users.b: the primary key"),
        (table(r#"{"name":"a","type":"text","wrong":1}"#, ""), "wrong"),
        (
            table(r#"{"name":"a","type":"text"}"#, r#","foreignKeys":[{"columns":["a"],"foreignTable":"t","foreignColumns":["x"]}]"#),
            "users.a: it refers to a table t",
        ),
        (
            table(r#"{"name":"a","type":"text"}"#, r#","foreignKeys":[{"columns":["a"],"foreignTable":"users","foreignColumns":["a"]}]"#),
            "users.a: it refers to users(a), which is neither",
        ),
        (r#"{"version":1,"collections":[{"name":"tasks","app":"todo","fields":[{"name":"_owner","type":"text"}]}]}"#.to_owned(), "tasks._owner"),
        (r#"{"version":1,"indexes":[{"name":"i","table":"t","columns":["a"]}]}"#.to_owned(), "index i: the schema has no table t"),
    ] {
        let told = told(&json);
        assert!(told.contains(message), "{told}");
    }
}

#[test]
fn names_of_others_are_not_taken() {
    for name in ["_ferry_x", "__ferry_new_a", "sqlite_a", "Events", "ops_fields", "records_todo__tasks"] {
        let json = format!(
            r#"{{"version":1,"tables":[{{"name":"{name}","columns":[{{"name":"a","type":"text"}}]}}]}}"#
        );
        assert!(matches!(read(&json), Err(BadSchema::Reserved(_))), "{name}");
    }
    let json = r#"{"version":1,"tables":[{"name":"records_2024","columns":[{"name":"a","type":"text"}]}]}"#;
    assert!(read(json).is_ok());
}
