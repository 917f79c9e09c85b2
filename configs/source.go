package configs

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sidekong/configs/declarative"
	"sidekong/configs/entity"
)

// Source is where configuration comes from.
type Source interface {
	// Inputs reads the source as it is now.
	Inputs(ctx context.Context) ([]declarative.Input, error)
}

// Loader makes snapshots.
type Loader struct {
	Schemas *entity.Schemas
	// LookupEnv finds the variables of ${{ env "DECK_X" }}; os.LookupEnv in the program.
	LookupEnv func(name string) (string, bool)
	// Pause is called again and again in the course of the work, which takes a while where there is much: it may take a rest,
	// in which requests are served. Nil is none.
	Pause func()
}

// Load reads sources into one snapshot. Where the configuration is at fault the error is or wraps a
// declarative.Faults.
func (l Loader) Load(ctx context.Context, sources ...Source) (*Snapshot, []declarative.Warning, error) {
	inputs, err := InputsOf(ctx, sources...)
	if err != nil {
		return nil, nil, err
	}
	return l.Parse(inputs)
}

// InputsOf reads sources as they are now.
func InputsOf(ctx context.Context, sources ...Source) (inputs []declarative.Input, err error) {
	for _, source := range sources {
		more, err := source.Inputs(ctx)
		if err != nil {
			return nil, err
		}
		inputs = append(inputs, more...)
	}
	return inputs, nil
}

// Parse is Load of what has been read.
func (l Loader) Parse(inputs []declarative.Input) (*Snapshot, []declarative.Warning, error) {
	document, warnings, err := declarative.Parse(inputs, declarative.Options{Schemas: l.Schemas, LookupEnv: l.LookupEnv, Pause: l.Pause})
	if err != nil {
		return nil, nil, err
	}
	snapshot, err := l.Snapshot(document)
	return snapshot, warnings, err
}

// Files are configuration files. A folder stands for the *.yaml, *.yml and *.json files in it, by name.
func Files(paths ...string) Source { return files(paths) }

type files []string

func (f files) Inputs(ctx context.Context) ([]declarative.Input, error) {
	var inputs []declarative.Input
	for _, path := range f {
		names, err := expand(path)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			data, err := readBounded(name)
			if err != nil {
				return nil, err
			}
			inputs = append(inputs, declarative.Input{Name: name, Data: data})
		}
	}
	return inputs, nil
}

var extensions = []string{".yaml", ".yml", ".json"}

// expand lists the files of a folder; a file stands for itself. Hidden names are left out, among them those through
// which Kubernetes swaps a mounted ConfigMap.
func expand(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	entries, err := os.ReadDir(path) // sorted
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	var names []string
	for _, entry := range entries {
		name := filepath.Join(path, entry.Name())
		if strings.HasPrefix(entry.Name(), ".") || !slices.Contains(extensions, filepath.Ext(name)) {
			continue
		}
		if info, err := os.Stat(name); err != nil || info.IsDir() {
			continue
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("read configuration: no %s in folder %s", strings.Join(extensions, ", "), path)
	}
	return names, nil
}

// readBounded reads one byte more than Parse takes, and leaves it to Parse to say so.
func readBounded(name string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, declarative.MaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return data, nil
}

// Text is configuration that stands in a setting, such as declarative_config_string. Faults show name as the file.
func Text(name, text string) Source { return literal{Name: name, Data: []byte(text)} }

type literal declarative.Input

func (l literal) Inputs(context.Context) ([]declarative.Input, error) {
	return []declarative.Input{declarative.Input(l)}, nil
}

// Upstream is a configuration without any file: one service for one address, and one route that takes every request
// to it with Host header and path untouched. The address is http(s)://host[:port][/path].
func Upstream(address string) (Source, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "":
		return nil, fmt.Errorf("upstream %s: not an address; allowed: http://host[:port][/path] or https://…", redact(address))
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("upstream %s: scheme %s is not allowed; allowed: http, https", u.Redacted(), u.Scheme)
	case u.User != nil:
		return nil, fmt.Errorf("upstream %s: a user name or password cannot be part of it", u.Host)
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, fmt.Errorf("upstream %s: a query or fragment cannot be part of it", u.Host)
	}
	service := entity.Object{"name": "upstream", "url": u.Scheme + "://" + u.Host + cmp.Or(u.EscapedPath(), "/")}
	service["routes"] = []any{entity.Object{
		"name": "default", "paths": []any{"/"}, "strip_path": false, "preserve_host": true,
	}}
	text, err := json.Marshal(entity.Object{"_format_version": "3.0", "services": []any{service}})
	if err != nil {
		return nil, fmt.Errorf("upstream %s: %w", u.Host, err)
	}
	return literal{Name: "--upstream", Data: text}, nil
}

// redact keeps what may be a password out of a message.
func redact(address string) string {
	if i := strings.LastIndexByte(address, '@'); i >= 0 {
		return "…" + address[i:]
	}
	return address
}
