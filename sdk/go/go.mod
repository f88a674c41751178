module stormglass

go 1.24
