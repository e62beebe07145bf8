module tentacular.io/tests/empty

go 1.24.0
