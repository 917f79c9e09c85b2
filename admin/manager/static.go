package manager

import (
	"embed"
	"io/fs"
)

//go:embed static/index.html static/icon.svg static/style/*.css static/*/*.js
var embedded embed.FS

// Static is the page: HTML, style sheets and ES modules as they are written, to be served as they are.
func Static() fs.FS {
	static, err := fs.Sub(embedded, "static")
	if err != nil {
		panic(err) // the path is valid
	}
	return static
}
