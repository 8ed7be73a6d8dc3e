;; An option: name, help, kind (a text), no default.
(data $description (i32.const 16) (i32 256 4) (i32 261 3) (i32 265 6) (i32 0) (i32 4096 1))
(data $option (i32.const 4096) (i32 4160 6) (i32 265 6) (i32 0 0 0) (i32 0 0 0))
(data $name (i32.const 4160) "target")
