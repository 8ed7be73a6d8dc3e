(data $description (i32.const 16) (i32 256 4) (i32 261 3) (i32 265 6) (i32 77) (i32 0 0))
