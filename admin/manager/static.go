package manager

import (
	"bytes"
	"embed"
	"io/fs"
	"regexp"
)

//go:embed static/index.html static/icon.svg static/style/*.css static/*/*.js
var embedded embed.FS

// Static is the page: HTML, style sheets and ES modules as they are written.
func Static() fs.FS {
	static, err := fs.Sub(embedded, "static")
	if err != nil {
		panic(err) // the path is valid
	}
	return static
}

// comments are those of our modules: documentation and types, also within lines, and whole lines.
var comments = regexp.MustCompile(`(?s:/\*\*.*?\*/)|(?m:^[ \t]*//.*$)`)

// withoutComments is a module as browsers get it: a fifth shorter, with every line of code where it was. It does not
// understand JavaScript; a test sees to it that our modules mean the same without their comments.
func withoutComments(module []byte) []byte {
	return comments.ReplaceAllFunc(module, func(comment []byte) []byte {
		return bytes.Repeat([]byte("\n"), bytes.Count(comment, []byte("\n")))
	})
}
