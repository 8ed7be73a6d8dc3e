(table $table 0 funcref)
(func $start (loop $again (drop (table.grow $table (ref.null func) (i32.const 1000))) (br $again)))
(start $start)
