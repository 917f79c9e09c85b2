package capture

import (
	"fmt"
	"regexp"
	"strings"

	"sidekong/configs/entity"
)

// maxBody is the most that max_body_bytes may be: two bodies of it are less than a trace may hold.
const maxBody = 3 << 20

// What body_digest may be.
const (
	digestCut    = "cut" // of those that are not kept whole
	digestAlways = "always"
	digestNever  = "never"
)

// contentTypes are the types of bodies that are kept where a configuration names none.
var contentTypes = []string{
	"text/*", "application/json", "application/*+json", "application/x-ndjson", "application/ndjson",
	"application/jsonl", "application/json-seq", "application/xml", "application/*+xml",
	"application/x-www-form-urlencoded", "multipart/form-data", "application/graphql", "application/javascript",
	"application/yaml",
}

// Config is the plugin's configuration record. It is ours: Kong has no such plugin.
func Config() *entity.Record {
	text := &entity.Field{Type: entity.String}
	return &entity.Record{
		Fields: []entity.Field{
			// What to record.
			entity.Flag("peer_address", true),
			entity.Flag("target", true),
			entity.Flag("request_headers", true),
			entity.Flag("request_body", true),
			entity.Flag("response_headers", true),
			entity.Flag("response_body", true),
			{ // SHA-256 of the bytes as they passed, of which bodies: with it one can guess at what a mask hides
				Name: "body_digest", Type: entity.String, Required: true, Default: digestCut,
				OneOf: entity.Strings(digestCut, digestAlways, digestNever),
			},
			{Name: "max_body_bytes", Type: entity.Integer, Required: true, Default: 1 << 20, Between: &entity.Range{Min: 0, Max: maxBody}},
			{
				Name: "max_memory_bytes", Type: entity.Integer, Required: true, Default: 64 << 20, // of all requests at once
				Between: &entity.Range{Min: 4 << 10, Max: 1 << 40},
			},
			{
				Name: "content_types", Type: entity.Array, Required: true, Default: entity.Strings(contentTypes...),
				Elements: &entity.Field{Type: entity.String, Patterns: []entity.Pattern{{
					Re: regexp.MustCompile(`^[^/\s;]+/[^/\s;]+$`), Err: "must be a media type, * standing for any",
				}}},
			},
			// Of which requests.
			{Name: "sample_rate", Type: entity.Number, Required: true, Default: 1, Between: &entity.Range{Min: 0, Max: 1}},
			entity.Flag("only_errors", false), // status 400 and above, and answers that are not whole
			{Name: "min_duration", Type: entity.Number, Between: &entity.Range{Min: 0, Max: 1 << 31}}, // milliseconds
			// What to mask.
			entity.Flag("redact", true),
			{Name: "mask", Type: entity.String, Required: true, Default: "REDACTED", Patterns: []entity.Pattern{{
				Re: regexp.MustCompile(`^[A-Za-z_*.-]{1,64}$`), Err: "must be letters, '_', '-', '.' and '*'",
			}}},
			{Name: "masked_names", Type: entity.Array, Elements: text},   // besides those that are always masked
			{Name: "unmasked_names", Type: entity.Array, Elements: text}, // that contain one and name no secret
			{Name: "masked_paths", Type: entity.Array, Elements: &entity.Field{Type: entity.String, Check: checkPath}},
			entity.Flag("mask_card_numbers", true),
		},
		Plugin: entity.PluginRules{NoConsumer: true}, // it runs before anybody is known
	}
}

// options are the plugin's configuration, checked and complete.
type options struct {
	PeerAddress     bool     `json:"peer_address"`
	Target          bool     `json:"target"`
	RequestHeaders  bool     `json:"request_headers"`
	RequestBody     bool     `json:"request_body"`
	ResponseHeaders bool     `json:"response_headers"`
	ResponseBody    bool     `json:"response_body"`
	BodyDigest      string   `json:"body_digest"`
	MaxBodyBytes    int      `json:"max_body_bytes"`
	MaxMemoryBytes  int64    `json:"max_memory_bytes"`
	ContentTypes    []string `json:"content_types"`
	SampleRate      float64  `json:"sample_rate"`
	OnlyErrors      bool     `json:"only_errors"`
	MinDuration     *float64 `json:"min_duration"` // milliseconds
	Redact          bool     `json:"redact"`
	Mask            string   `json:"mask"`
	MaskedNames     []string `json:"masked_names"`
	UnmaskedNames   []string `json:"unmasked_names"`
	MaskedPaths     []string `json:"masked_paths"`
	MaskCardNumbers bool     `json:"mask_card_numbers"`
}

func decodeOptions(object entity.Object) (*options, error) {
	o := &options{}
	if err := entity.Decode(object, o); err != nil {
		return nil, fmt.Errorf("decode configuration: %w", err)
	}
	return o, nil
}

var pathSteps = regexp.MustCompile(`^(\$\.?)?[^.\[\]$]*(\.[^.\[\]]+|\[(\d+|\*)\])*$`)

func checkPath(value any) string {
	text := value.(string)
	if !pathSteps.MatchString(text) || len(parsePath(text)) == 0 {
		return "must be a path of names, such as user.card or $.items[*].pin"
	}
	return ""
}

// parsePath splits the path of a JSON field: "$.items[*].pin" is items, *, pin.
func parsePath(text string) []string {
	text = strings.TrimPrefix(strings.TrimPrefix(text, "$"), ".")
	return strings.FieldsFunc(text, func(r rune) bool { return r == '.' || r == '[' || r == ']' })
}
