module tlsfront

go 1.19
