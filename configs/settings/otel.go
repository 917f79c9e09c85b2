package settings

import (
	"bytes"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// OTel is what the OpenTelemetry SDK's environment variables say, for whatever Kong's configuration leaves open. Where
// a variable has a form for traces only, that form wins.
//
// https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
// https://opentelemetry.io/docs/specs/otel/protocol/exporter/
type OTel struct {
	Disabled bool // OTEL_SDK_DISABLED: no trace at all
	Export   bool // false where OTEL_TRACES_EXPORTER is none

	Endpoint    string            // URL to post traces to, used as it stands; "" = none was given. May hold a secret.
	Headers     map[string]string // secret; names as given; nil = none
	Timeout     time.Duration     // for one post, 10 s unless set
	Compression string            // gzip, none

	Certificate       string // path of PEM with authorities to trust; "" = the system's
	ClientCertificate string // path of PEM; set together with ClientKey or not at all
	ClientKey         string // path of PEM

	ServiceName        string            // "" = not given
	ResourceAttributes map[string]string // without service.name; nil = none

	SemConv string // "" Kong's attribute names, "http" the stable HTTP ones, "http/dup" both
}

// ParseOTel reads the variables; readFile is asked for the certificates, and nil means os.ReadFile. As the
// specification wants it, a value that cannot be read is a warning and counts as not set; it is an error (Faults) only
// where spans would be lost or sent unprotected for it: an endpoint, a certificate. Neither ever holds a header's value
// or an endpoint.
func ParseOTel(environ []string, readFile func(string) ([]byte, error)) (OTel, []Warning, error) {
	if readFile == nil {
		readFile = os.ReadFile
	}
	p := &otelParser{environ: environ, readFile: readFile}
	o := OTel{
		Disabled:    p.flag("OTEL_SDK_DISABLED"),
		Export:      p.export(),
		Endpoint:    p.endpoint(),
		Headers:     p.headers(),
		Timeout:     p.timeout(),
		Compression: p.compression(),

		Certificate:       p.certificate("CERTIFICATE"),
		ClientCertificate: p.certificate("CLIENT_CERTIFICATE"),
		ClientKey:         p.certificate("CLIENT_KEY"),

		SemConv: p.semConv(),
	}
	if name, value := p.exporter("CLIENT_CERTIFICATE"); value == "" && o.ClientKey != "" {
		p.fault(name, "is missing, though a client key is set", "both or neither")
	}
	if name, value := p.exporter("CLIENT_KEY"); value == "" && o.ClientCertificate != "" {
		p.fault(name, "is missing, though a client certificate is set", "both or neither")
	}
	o.ServiceName, o.ResourceAttributes = p.resource()
	p.protocol()
	return o, p.warnings, p.faults.orNil()
}

type otelParser struct {
	environ  []string
	readFile func(string) ([]byte, error)
	warnings []Warning
	faults   Faults
}

// get reads one variable. The specification takes an empty one for none.
func (p *otelParser) get(name string) string { return strings.TrimSpace(getenv(p.environ, name)) }

// exporter reads OTEL_EXPORTER_OTLP_TRACES_X or else OTEL_EXPORTER_OTLP_X, and says which it was.
func (p *otelParser) exporter(suffix string) (name, value string) {
	name = "OTEL_EXPORTER_OTLP_TRACES_" + suffix
	if value = p.get(name); value != "" {
		return name, value
	}
	name = "OTEL_EXPORTER_OTLP_" + suffix
	return name, p.get(name)
}

func (p *otelParser) warn(name, text string) {
	p.warnings = append(p.warnings, Warning{Origin: "environment", Key: name, Text: text})
}

func (p *otelParser) fault(name, problem, allowed string) {
	p.faults = append(p.faults, Fault{Origin: "environment", Key: name, Problem: problem, Allowed: allowed})
}

func (p *otelParser) flag(name string) bool {
	switch value := p.get(name); {
	case strings.EqualFold(value, "true"):
		return true
	case value != "" && !strings.EqualFold(value, "false"):
		p.warn(name, "is neither true nor false and counts as false")
	}
	return false
}

// export tells whether traces leave by OTLP. Exporters that this program lacks are named and passed over.
func (p *otelParser) export() bool {
	const name = "OTEL_TRACES_EXPORTER"
	otlp, none := false, false
	for _, exporter := range splitList(p.get(name)) {
		switch exporter {
		case "otlp":
			otlp = true
		case "none":
			none = true
		default:
			p.warn(name, strconv.Quote(exporter)+" is not an exporter here and is ignored; there are otlp and none")
		}
	}
	return otlp || !none
}

// endpoint appends /v1/traces to the general endpoint and leaves the one for traces as it is.
func (p *otelParser) endpoint() string {
	name, value := p.exporter("ENDPOINT")
	if value == "" {
		return ""
	}
	u, err := url.Parse(value)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		p.fault(name, "the value is not an HTTP URL", "http://host:port/path, https://host:port/path")
		return ""
	}
	if name == "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" {
		return value
	}
	return u.JoinPath("v1", "traces").String()
}

// pairs reads name=value,name=value with percent signs decoded in the values: W3C Baggage without its properties.
func pairs(value string) (map[string]string, bool) {
	found := make(map[string]string)
	for _, item := range splitList(value) {
		name, encoded, ok := strings.Cut(item, "=")
		name = strings.TrimSpace(name)
		decoded, err := url.PathUnescape(strings.TrimSpace(encoded))
		if !ok || name == "" || err != nil {
			return nil, false
		}
		found[name] = decoded
	}
	if len(found) == 0 {
		return nil, true
	}
	return found, true
}

func (p *otelParser) headers() map[string]string {
	name, value := p.exporter("HEADERS")
	headers, ok := pairs(value)
	for header, content := range headers {
		if _, err := parseHeaderName(header); err != nil || strings.ContainsAny(content, "\r\n\x00") {
			ok = false
		}
	}
	if !ok {
		p.warn(name, "is ignored: it is not a list of header=value, with commas between and percent signs encoded")
		return nil
	}
	return headers
}

func (p *otelParser) timeout() time.Duration {
	const standard = 10 * time.Second
	name, value := p.exporter("TIMEOUT")
	if value == "" {
		return standard
	}
	milliseconds, err := parseInt(value, 1, 1<<31-1)
	if err != nil {
		p.warn(name, "is ignored: it is not a number of milliseconds above 0")
		return standard
	}
	return time.Duration(milliseconds) * time.Millisecond
}

func (p *otelParser) compression() string {
	name, value := p.exporter("COMPRESSION")
	switch value {
	case "gzip", "none":
		return value
	case "":
	default:
		p.warn(name, "is ignored: it is neither gzip nor none")
	}
	return "none"
}

// certificate gives a path whose file can be read and holds PEM.
func (p *otelParser) certificate(suffix string) string {
	name, path := p.exporter(suffix)
	if path == "" {
		return ""
	}
	data, err := p.readFile(path)
	switch {
	case err != nil:
		p.fault(name, "read file: "+err.Error(), "")
	case !bytes.Contains(data, []byte(pemMark)):
		p.fault(name, "the file holds no PEM", "")
	}
	return path
}

// resource reads OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME, which wins over the attribute service.name.
func (p *otelParser) resource() (service string, attributes map[string]string) {
	const name = "OTEL_RESOURCE_ATTRIBUTES"
	attributes, ok := pairs(p.get(name))
	if !ok {
		p.warn(name, "is ignored: it is not a list of name=value, with commas between and percent signs encoded")
	}
	service = attributes["service.name"]
	delete(attributes, "service.name")
	if len(attributes) == 0 {
		attributes = nil
	}
	if value := p.get("OTEL_SERVICE_NAME"); value != "" {
		service = value
	}
	return service, attributes
}

// semConv reads the HTTP part of OTEL_SEMCONV_STABILITY_OPT_IN; what is for other signals is for others.
func (p *otelParser) semConv() string {
	chosen := ""
	for _, item := range splitList(p.get("OTEL_SEMCONV_STABILITY_OPT_IN")) {
		switch item {
		case "http/dup":
			return item
		case "http":
			chosen = item
		}
	}
	return chosen
}

// protocol warns of encodings that are not spoken.
func (p *otelParser) protocol() {
	if name, value := p.exporter("PROTOCOL"); value != "" && value != "http/protobuf" {
		p.warn(name, "has no effect: traces are sent as http/protobuf, so the endpoint must take that")
	}
}
