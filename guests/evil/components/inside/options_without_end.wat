;; The list claims to have four billion options.
(data $description (i32.const 16) (i32 256 4) (i32 261 3) (i32 265 6) (i32 0) (i32 4096 -1))
