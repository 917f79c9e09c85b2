package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"

	"sidekong/configs/entity"
)

// maxArguments bounds the arguments of a form or a query. Kong: kong/api/arguments.lua defaults
const maxArguments = 1000

// readBody reads the body of a request that may have one. kind's schema types the texts of a form; "" leaves them texts.
// Kong: kong/api/api_helpers.lua before_filter, parse_params; kong/api/arguments.lua load
func (c *call) readBody(kind string) error {
	switch c.r.Method {
	case http.MethodPost, http.MethodPut, http.MethodPatch:
	default:
		return nil
	}
	contentType := c.r.Header.Get("Content-Type")
	if len(c.r.Header.Values("Content-Type")) > 1 {
		return refuse(http.StatusBadRequest, "Multiple Content-Type headers not allowed")
	}
	if contentType == "" {
		// A body must say what it is.
		if n, err := io.ReadFull(c.r.Body, make([]byte, 1)); n > 0 {
			return errMediaType
		} else if err != io.EOF {
			return bodyFault(err)
		}
		return nil
	}
	var err error
	switch {
	case strings.HasPrefix(contentType, "application/json"):
		c.body, err = readJSON(c.r.Body)
		return err
	case strings.HasPrefix(contentType, "application/x-www-form-urlencoded"):
		var text []byte
		if text, err = io.ReadAll(c.r.Body); err != nil {
			return bodyFault(err)
		}
		arguments, err := parseArguments(string(text))
		if err != nil {
			return err
		}
		return c.fromForm(arguments, kind)
	case strings.HasPrefix(contentType, "multipart/form-data"):
		arguments, err := readMultipart(c.r.Body, contentType)
		if err != nil {
			return err
		}
		return c.fromForm(arguments, kind)
	}
	return errMediaType
}

func (c *call) fromForm(arguments []argument, kind string) error {
	c.form = true
	c.body = nest(arguments)
	c.typeForm(kind)
	return nil
}

// typeForm gives the texts of a form the types that the schema wants. It can be repeated once more is known of a body.
func (c *call) typeForm(kind string) {
	if schema, known := c.Schemas.Of(kind); known && c.form {
		infer(c.Schemas, schema, c.body)
	}
}

// bodyFault is what becomes of an error of reading: too large a body is told as that, everything else is the client's
// own doing too.
func bodyFault(err error) error {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return err
	}
	return refuse(http.StatusBadRequest, "Cannot read request body")
}

// readJSON reads one JSON object. An empty list is an empty object, as it is to Lua.
func readJSON(body io.Reader) (entity.Object, error) {
	text, err := io.ReadAll(body)
	if err != nil {
		return nil, bodyFault(err)
	}
	var value any
	if err := json.Unmarshal(bytes.TrimPrefix(text, []byte("\uFEFF")), &value); err != nil {
		return nil, errJSON
	}
	switch value := positiveZero(value).(type) {
	case entity.Object:
		return value, nil
	case []any:
		if len(value) == 0 {
			return entity.Object{}, nil
		}
	}
	return nil, errJSON
}

// positiveZero makes -0 0, which Lua takes it for.
func positiveZero(value any) any {
	switch value := value.(type) {
	case entity.Object:
		for name := range value {
			value[name] = positiveZero(value[name])
		}
	case []any:
		for i := range value {
			value[i] = positiveZero(value[i])
		}
	case float64:
		return value + 0 // -0 + 0 is 0
	}
	return value
}

// readMultipart reads the parts of a form, each in whole. What names no field is left out.
func readMultipart(body io.Reader, contentType string) ([]argument, error) {
	_, parameters, err := mime.ParseMediaType(contentType)
	if err != nil || parameters["boundary"] == "" {
		return nil, refuse(http.StatusBadRequest, "Cannot parse multipart body")
	}
	reader := multipart.NewReader(body, parameters["boundary"])
	var arguments []argument
	for parts := 0; ; parts++ {
		part, err := reader.NextRawPart()
		if err == io.EOF {
			return arguments, nil
		}
		if err != nil {
			return nil, multipartFault(err)
		}
		if parts == maxArguments {
			return nil, errArguments
		}
		content, err := io.ReadAll(part)
		if err != nil {
			return nil, multipartFault(err)
		}
		if name := part.FormName(); name != "" {
			arguments = append(arguments, argument{name, string(content)})
		}
	}
}

func multipartFault(err error) error {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return large
	}
	return fmt.Errorf("parse multipart body: %w", refuse(http.StatusBadRequest, "Cannot parse multipart body"))
}
