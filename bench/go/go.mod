module aegis.invalid/bench

go 1.21
