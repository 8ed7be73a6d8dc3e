;; The name is not UTF-8.
(data $description (i32.const 16) (i32 4096 4) (i32 261 3) (i32 265 6) (i32 0) (i32 0 0))
(data $bytes (i32.const 4096) "\ff\fe\80\c3")
