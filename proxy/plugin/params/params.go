// Package params reads and changes the named parameters that a request carries: those of a query, of a form, of a
// multipart form, and the members of a JSON object. What is not touched stays as it is, in its order.
package params

import (
	"errors"
	"strings"
)

// Kind is what a parameter's value is.
type Kind uint8

// The kinds. Several stands for a repeated parameter, or a JSON array or object; Other for what is neither text nor
// several: a bare name in a form, and JSON numbers, booleans and null.
const (
	Absent Kind = iota
	Text
	Several
	Other
)

// Set is a set of named parameters.
type Set interface {
	// Lookup gives a parameter's value where it is Text.
	Lookup(name string) (value string, kind Kind)
	// Has reports whether there is such a parameter. A JSON false counts for none, as in Kong's transformers.
	Has(name string) bool
	// Delete reports whether there was something to delete.
	Delete(name string) bool
	// Rename reports whether there was something to rename. What had the new name before goes.
	Rename(old, name string) bool
	// Set gives a parameter a text, in the place of all its values.
	Set(name, value string)
	// Append adds a text to a parameter's values.
	Append(name, value string)
	// Encode writes the parameters as a body again.
	Encode() ([]byte, error)
}

// ErrNoParameters says that a body is of no type that has parameters.
var ErrNoParameters = errors.New("no form and no JSON")

// Parse reads a body by its content type. An empty body has no parameters.
func Parse(contentType string, body []byte) (Set, error) {
	media := strings.ToLower(contentType)
	switch {
	case strings.Contains(media, "application/json"):
		return ParseObject(body)
	case strings.Contains(media, "multipart/form-data"):
		return parseMultipart(contentType, body)
	case strings.Contains(media, "application/x-www-form-urlencoded"):
		form := ParseArgs(string(body))
		return &form, nil
	default:
		return nil, ErrNoParameters
	}
}
