(data $description (i32.const 16) (i32 4096 14) (i32 261 3) (i32 265 6) (i32 0) (i32 0 0))
(data $path (i32.const 4096) "../../etc/cron")
