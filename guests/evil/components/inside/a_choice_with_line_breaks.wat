;; A choice of two words, one of which contains line breaks and escapes.
(data $description (i32.const 16) (i32 256 4) (i32 261 3) (i32 265 6) (i32 0) (i32 4096 1))
(data $option (i32.const 4096) (i32 4160 4) (i32 265 6) (i32 1 4176 2) (i32 0 0 0))
(data $words (i32.const 4160) "kind" (i32 0 0 0) (i32 4200 4) (i32 4208 40))
(data $texts2 (i32.const 4200) "good\00\00\00\00\1b[2Jbad\0d\0amackerel-plugin-wasm: a false line")
