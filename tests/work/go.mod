module scenarios/work // "work" alone is a word of the go command

go 1.21
