package propagation

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// preserve is the word for: inject the format that was extracted.
const preserve = "preserve"

// ignore is the header_type that extracts nothing.
const ignore = "ignore"

// Config is the part of the opentelemetry plugin's configuration that is about propagation. Extract, Inject and Clear
// are unset when nil; an empty list that is not nil is set. Once one of them is set, HeaderType means nothing.
type Config struct {
	Extract []string // formats in the order they are tried: w3c b3 jaeger ot datadog aws gcp instana
	Inject  []string // formats to write: those, b3-single, preserve
	Clear   []string // names of headers to remove before injection

	// DefaultFormat is written where preserve finds no format. "" is w3c. (Kong writes nothing there under
	// header_type ignore.)
	DefaultFormat string

	// HeaderType is Kong's older setting: preserve, ignore or a format. "" is Kong's explicit null: nothing is
	// extracted or injected. The plugin's own default is preserve.
	HeaderType string

	// InstanaByDefault adds instana to the formats that a HeaderType extracts, as in Kong from 3.10 on. HeaderType
	// instana, which Kong has from 3.10 on, implies it.
	InstanaByDefault bool
}

// policy is a Config that was checked and made quick to follow.
type policy struct {
	extract  []Format
	inject   formatSet
	preserve bool
	fallback Format   // what preserve writes where nothing was extracted
	clear    []string // canonical keys
}

// headerTypeFormats are the formats that a header_type extracts. B3 is first: Kong's order, though Kong's documents
// name w3c first.
var headerTypeFormats = []Format{B3, W3C, Jaeger, OT, Datadog, AWS, GCP}

// newPolicy decides which settings apply.
//
// Kong: kong/observability/tracing/propagation/init.lua get_plugin_params
func newPolicy(config Config) (policy, error) {
	p := policy{fallback: W3C}
	if config.DefaultFormat != "" {
		f, ok := ParseFormat(config.DefaultFormat)
		if !ok {
			return policy{}, unknown("default_format", config.DefaultFormat, formatNames[W3C:])
		}
		p.fallback = f
	}
	if config.Extract == nil && config.Inject == nil && config.Clear == nil {
		err := p.followHeaderType(config)
		return p, err
	}

	for i, name := range config.Extract {
		f, ok := ParseFormat(name)
		if !ok || f == B3Single {
			return policy{}, unknown(fmt.Sprintf("extract[%d]", i+1), name, extractable())
		}
		p.extract = append(p.extract, f)
	}
	for i, name := range config.Inject {
		if name == preserve {
			p.preserve = true
			continue
		}
		f, ok := ParseFormat(name)
		if !ok {
			return policy{}, unknown(fmt.Sprintf("inject[%d]", i+1), name, append([]string{preserve}, formatNames[W3C:]...))
		}
		p.inject = p.inject.with(f)
	}
	for _, name := range config.Clear {
		p.clear = append(p.clear, http.CanonicalHeaderKey(name))
	}
	return p, nil
}

func (p *policy) followHeaderType(config Config) error {
	switch config.HeaderType {
	case "":
		return nil
	case ignore:
		p.inject = p.inject.with(p.fallback)
		return nil
	case preserve:
		p.preserve = true
	default:
		f, ok := ParseFormat(config.HeaderType)
		if !ok {
			return unknown("header_type", config.HeaderType, append([]string{preserve, ignore}, formatNames[W3C:]...))
		}
		p.preserve = true
		p.inject = p.inject.with(f)
	}
	p.extract = headerTypeFormats
	if config.InstanaByDefault || config.HeaderType == Instana.String() {
		p.extract = append(slices.Clone(headerTypeFormats), Instana)
	}
	return nil
}

// extractable are the names of the formats that may be extracted; b3 covers both B3 forms.
func extractable() []string {
	return slices.DeleteFunc(slices.Clone(formatNames[W3C:]), func(name string) bool { return name == B3Single.String() })
}

func unknown(field, value string, allowed []string) error {
	return fmt.Errorf("check propagation: %s: %q is not one of %s", field, value, strings.Join(allowed, ", "))
}
