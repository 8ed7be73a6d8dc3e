(data $description (i32.const 16) (i32 256 4) (i32 261 3) (i32 265 6) (i32 0) (i32 4096 1))
(data $option (i32.const 4096) (i32 4160 4) (i32 265 6) (i32 0 0 0) (i32 1 4200 29))
(data $name (i32.const 4160) "kind")
(data $text (i32.const 4200) "\1b[2J\0d\0aroot\09\e2\80\ae# a false line.")
