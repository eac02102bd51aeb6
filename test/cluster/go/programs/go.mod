module anneal.test/programs

go 1.24
