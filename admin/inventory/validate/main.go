// Command validate checks OpenAPI documents against the rules of their version, with a validator that is not ours. It
// is a module of its own, so that Sidekong's own does not carry the validator.
package main

import (
	"fmt"
	"io"
	"os"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(files []string, out io.Writer) error {
	for _, file := range files {
		if err := check(file); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		fmt.Fprintf(out, "%s: valid\n", file)
	}
	return nil
}

func check(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	document, err := libopenapi.NewDocument(text)
	if err != nil {
		return err
	}
	if _, err := document.BuildV3Model(); err != nil {
		return err
	}
	v, errs := validator.NewValidator(document)
	if len(errs) > 0 {
		return fmt.Errorf("read document: %v", errs)
	}
	if ok, faults := v.ValidateDocument(); !ok {
		text := ""
		for _, fault := range faults {
			text += "\n" + fault.Error()
			for _, detail := range fault.SchemaValidationErrors {
				text += fmt.Sprintf("\n  %s: %s", detail.FieldPath, detail.Reason)
			}
		}
		return fmt.Errorf("not valid:%s", text)
	}
	return nil
}
