package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"

	"sidekong/configs/declarative"
	"sidekong/configs/entity"
)

// configRoutes show and replace the configuration as a whole, where it has no database. Kong: kong/api/routes/config.lua
func (a *api) configRoutes(t *table) {
	t.add("/config", http.MethodGet, operation{
		summary: "The configuration as kong.yaml", status: http.StatusOK, response: "config", handle: (*call).exportConfig,
	})
	t.add("/config", http.MethodPost, operation{
		summary: "Replace the configuration", status: http.StatusCreated, request: "config", response: "free",
		query: []string{"check_hash", "flatten_errors"}, raw: true, handle: (*call).replaceConfig,
	})
}

var errHasDatabase = refuse(http.StatusBadRequest, "this endpoint is only available when Kong is configured to not use a database")

func (c *call) exportConfig() (*answer, error) {
	if !c.ReadOnly {
		return nil, errHasDatabase
	}
	held, _, err := c.DB.Document(c.ctx)
	if err != nil {
		return nil, err
	}
	text, err := declarative.Marshal(c.maskedDocument(held), c.Schemas)
	if err != nil {
		return nil, err
	}
	return ok(entity.Object{"config": string(text)}), nil
}

// maskedDocument hides the secrets of what is served. What is not served has no schema to find them by and is left out
// unless secrets may be seen.
func (c *call) maskedDocument(held *declarative.Document) *declarative.Document {
	if c.shows {
		return held
	}
	shown := &declarative.Document{Entities: map[string][]declarative.Entity{}}
	for kind, list := range held.Entities {
		for _, e := range list {
			shown.Entities[kind] = append(shown.Entities[kind], declarative.Entity{Object: c.mask(kind, e.Object), Position: e.Position})
		}
	}
	return shown
}

func (c *call) replaceConfig() (*answer, error) {
	if !c.ReadOnly {
		return nil, errHasDatabase
	}
	if c.Replace == nil {
		return nil, errNotFound
	}
	input, options, err := c.configInput()
	if err != nil {
		return nil, err
	}
	replaced, changed, err := c.Replace(c.ctx, input)
	var faults declarative.Faults
	if errors.As(err, &faults) {
		return nil, &configFault{faults: faults, text: input.Data, flatten: options.flatten}
	}
	if err != nil {
		return nil, &configFault{faults: declarative.Faults{{Message: err.Error()}}, text: input.Data, flatten: options.flatten}
	}
	if options.checkHash && !changed {
		return &answer{status: http.StatusNotModified}, nil
	}
	shown := c.maskedDocument(replaced)
	body := make(entity.Object, len(shown.Entities))
	for kind, list := range shown.Entities {
		byID := make(entity.Object, len(list))
		for _, e := range list {
			id, _ := e.Object["id"].(string)
			byID[id] = e.Object
		}
		body[kind] = byID
	}
	return &answer{status: http.StatusCreated, body: body}, nil
}

// configOptions are what the query, or the body beside the configuration, asks for.
type configOptions struct{ checkHash, flatten bool }

// configInput reads the configuration: the body itself as YAML or JSON, or the field config of a form or an object.
// Kong: kong/api/routes/config.lua hydrate_config_from_request
func (c *call) configInput() (declarative.Input, configOptions, error) {
	input := declarative.Input{Name: "declarative_config"}
	options := configOptions{c.query.first("check_hash") == "1", truthy(c.query.first("flatten_errors"))}
	contentType := c.r.Header.Get("Content-Type")
	media, _, _ := mime.ParseMediaType(contentType)
	if strings.HasPrefix(contentType, "application/yaml") || strings.HasPrefix(contentType, "text/yaml") {
		text, err := io.ReadAll(c.r.Body)
		if err != nil {
			return input, options, bodyFault(err)
		}
		input.Data = text
		return input, options, given(input.Data)
	}
	if media == "application/json" {
		// The text as it came has the places of faults.
		text, err := io.ReadAll(c.r.Body)
		if err != nil {
			return input, options, bodyFault(err)
		}
		if c.body, err = readJSON(bytes.NewReader(text)); err != nil {
			return input, options, err
		}
		input.Data = text
	} else if err := c.readBody(""); err != nil {
		return input, options, err
	}
	hash, hashInBody := c.body["check_hash"]
	flatten, flattenInBody := c.body["flatten_errors"]
	if hashInBody || flattenInBody {
		options.checkHash = options.checkHash || hash == "1" || hash == 1.0
		options.flatten = options.flatten || truthy(flatten)
		delete(c.body, "check_hash")
		delete(c.body, "flatten_errors")
		text, err := json.Marshal(c.body)
		if err != nil {
			return input, options, err
		}
		input.Data = text
	}
	switch config := c.body["config"].(type) {
	case string:
		input.Data = []byte(config)
	case entity.Object:
		text, err := json.Marshal(config)
		if err != nil {
			return input, options, err
		}
		input.Data = text
	default:
		if c.body["_format_version"] == nil {
			input.Data = nil
		}
	}
	return input, options, given(input.Data)
}

func given(text []byte) error {
	if len(bytes.TrimSpace(text)) == 0 {
		return refuse(http.StatusBadRequest, "expected a declarative configuration")
	}
	return nil
}
