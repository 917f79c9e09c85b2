package inventory

import (
	"cmp"
	"hash/fnv"
	"maps"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// shape is what values at one place of bodies or parameters have in common. The zero shape has seen nothing.
type shape struct {
	seen    int64 // values
	nulls   int64
	bools   int64
	ints    int64
	numbers int64 // that are no integers
	texts   int64
	arrays  int64
	objects int64 // that were seen whole
	partly  int64 // objects that were cut
	masked  int64 // texts with the mask in them
	quiet   bool  // by its name it holds what is sensitive: no text is kept

	format string // of all texts: mixed where they differ
	words  words  // that texts are
	fields map[string]*shape
	open   *shape // of fields whose names are identifiers, or too many
	items  *shape
}

// mixed is the format of texts that have none in common.
const mixed = "-"

// take gives one of the shapes that there is room for, nil where there is none.
func take(room *int) *shape {
	if *room <= 0 {
		return nil
	}
	*room--
	return &shape{}
}

// observe learns from a value. whole is false where the value, or what is in it, was cut.
func (s *shape) observe(value any, whole bool, room *int, depth int) {
	if _, none := value.(unread); none || depth > maxDepth {
		return
	}
	s.seen++
	switch value := value.(type) {
	case nil:
		s.nulls++
	case bool:
		s.bools++
	case string:
		s.observeText(value)
	case []any:
		s.arrays++
		if s.items == nil && len(value) > 0 {
			s.items = take(room)
		}
		for i, item := range value {
			if s.items != nil {
				s.items.observe(item, whole || i < len(value)-1, room, depth+1)
			}
		}
	case object:
		if whole {
			s.objects++
		} else {
			s.partly++
		}
		for i, m := range value {
			if field := s.field(m.name, room); field != nil {
				field.observe(m.value, whole || i < len(value)-1, room, depth+1)
			}
		}
	case interface{ String() string }: // json.Number
		if text := value.String(); isNumber.MatchString(text) {
			s.ints++
		} else {
			s.numbers++
		}
	}
}

// observeText learns from a text.
func (s *shape) observeText(text string) {
	if strings.Contains(text, mask) {
		s.masked++
	}
	s.texts++
	if text == "" || text == mask {
		return
	}
	switch format := formatOf(text); {
	case s.format == "":
		s.format = cmp.Or(format, mixed)
	case s.format != format:
		s.format = mixed
	}
	if !s.quiet {
		s.words.add(text)
	}
}

// field is the shape of a member, nil where there is no room for it.
func (s *shape) field(name string, room *int) *shape {
	name = valid(name)
	if field := s.fields[name]; field != nil {
		return field
	}
	if k := kindOf(name); k != "" || len(s.fields) >= maxFields || len(name) > maxName {
		if s.open == nil {
			s.open = take(room)
		}
		return s.open
	}
	field := take(room)
	if field == nil {
		return nil
	}
	field.quiet = sensitiveName(name) != ""
	if s.fields == nil {
		s.fields = map[string]*shape{}
	}
	s.fields[name] = field
	return field
}

// observeParameters learns from parameters, which are texts: numbers and truth values are told by their look.
func (s *shape) observeParameters(parameters []Parameter, room *int, headers bool) {
	s.objects++
	seen := map[string]bool{}
	for _, p := range parameters[:min(len(parameters), maxFields)] {
		name := valid(p.Name)
		if headers {
			name = strings.ToLower(name)
		}
		if name == "" || seen[name] || headers && isOrdinary(name) {
			continue // of one that comes more than once the first counts
		}
		seen[name] = true
		// One whose name is an identifier is a value: there is no parameter to tell of.
		if _, known := s.fields[name]; !known && (kindOf(name) != "" || len(s.fields) >= maxFields || len(name) > maxName) {
			continue
		}
		if field := s.field(name, room); field != nil {
			field.observeParameter(p.Value)
		}
	}
}

func (s *shape) observeParameter(value string) {
	s.seen++
	switch {
	case isNumber.MatchString(value) && len(value) < 16 && (value == "0" || value[0] != '0'):
		s.ints++
	case isDecimal.MatchString(value):
		s.numbers++
	case value == "true" || value == "false":
		s.bools++
	default:
		s.observeText(value)
	}
}

var isDecimal = regexp.MustCompile(`^-?[0-9]{1,15}\.[0-9]{1,15}$`)

// merge takes over what another shape has seen.
func (s *shape) merge(other *shape, room *int) {
	if other == nil {
		return
	}
	if s.texts > 0 && other.texts > 0 && s.format != other.format && s.format != "" && other.format != "" {
		s.format = mixed
	}
	s.format = cmp.Or(s.format, other.format)
	s.seen += other.seen
	s.nulls += other.nulls
	s.bools += other.bools
	s.ints += other.ints
	s.numbers += other.numbers
	s.texts += other.texts
	s.arrays += other.arrays
	s.objects += other.objects
	s.partly += other.partly
	s.masked += other.masked
	s.words.merge(&other.words)
	for _, name := range slices.Sorted(maps.Keys(other.fields)) {
		if field := s.field(name, room); field != nil {
			field.merge(other.fields[name], room)
		}
	}
	if other.open != nil {
		if s.open == nil {
			s.open = take(room)
		}
		if s.open != nil {
			s.open.merge(other.open, room)
		}
	}
	if other.items != nil {
		if s.items == nil {
			s.items = take(room)
		}
		if s.items != nil {
			s.items.merge(other.items, room)
		}
	}
}

// required reports whether a field is in every object. What was cut says nothing.
func (s *shape) required(field *shape) bool {
	return s.objects > 0 && field.seen >= s.objects+s.partly
}

// Texts are words of an enumeration where there are few of them and each comes up often.
const (
	maxWords  = 8
	maxLetter = 32
	enough    = 20 // texts before words are kept
	repeated  = 5  // times that there are as many texts as different ones, at least
)

// words tells whether texts are the same few again and again. Until that is known it keeps nothing that a text could be
// told by but a short hash.
type words struct {
	many   bool // there are too many, or they are no words
	total  int64
	hashes map[uint32]struct{}
	kept   map[string]int64 // once there is an enumeration
}

var isEnum = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.:-]*$`)

func (w *words) add(text string) {
	if w.many {
		return
	}
	w.total++
	if len(text) > maxLetter || !isEnum.MatchString(text) || kindOf(text) != "" || strings.Contains(text, mask) {
		w.giveUp()
		return
	}
	sum := fnv.New32a()
	_, _ = sum.Write([]byte(text)) // never fails
	if w.hashes == nil {
		w.hashes = map[uint32]struct{}{}
	}
	w.hashes[sum.Sum32()] = struct{}{}
	if len(w.hashes) > maxWords {
		w.giveUp()
		return
	}
	if w.total >= enough && w.total >= int64(repeated*len(w.hashes)) {
		if w.kept == nil {
			w.kept = map[string]int64{}
		}
		w.kept[text]++
	}
}

func (w *words) giveUp() { *w = words{many: true, total: w.total} }

func (w *words) merge(other *words) {
	if w.many || other.many {
		w.total += other.total
		w.giveUp()
		return
	}
	w.total += other.total
	for sum := range other.hashes {
		if w.hashes == nil {
			w.hashes = map[uint32]struct{}{}
		}
		w.hashes[sum] = struct{}{}
	}
	for word, n := range other.kept {
		if w.kept == nil {
			w.kept = map[string]int64{}
		}
		w.kept[word] += n
	}
	if len(w.hashes) > maxWords {
		w.giveUp()
	}
}

// enum lists the words, nil where texts are no enumeration.
func (w *words) enum() []string {
	if w.many || len(w.kept) == 0 || len(w.kept) < len(w.hashes) {
		return nil
	}
	return slices.Sorted(maps.Keys(w.kept))
}

// formatOf is the format of JSON Schema that a text has; "" for none.
func formatOf(text string) string {
	if len(text) > 2048 {
		return ""
	}
	switch kindOf(text) {
	case uuid:
		return "uuid"
	case date:
		if _, err := time.Parse(time.DateOnly, text); err == nil {
			return "date"
		}
	case email:
		return "email"
	}
	if len(text) >= len("2006-01-02T15:04:05Z") && text[4] == '-' {
		if _, err := time.Parse(time.RFC3339Nano, text); err == nil {
			return "date-time"
		}
	}
	if addr, err := netip.ParseAddr(text); err == nil {
		if addr.Is4() {
			return "ipv4"
		}
		return "ipv6"
	}
	if strings.Contains(text, "://") && !strings.ContainsAny(text, " \n") {
		if u, err := url.Parse(text); err == nil && u.Scheme != "" && u.Host != "" {
			return "uri"
		}
	}
	return ""
}

// Schema is a JSON Schema, as far as it can be inferred.
type Schema struct {
	Type                 any                `json:"type,omitempty"` // a string or a []string; nil: anything
	Format               string             `json:"format,omitempty"`
	Enum                 []string           `json:"enum,omitempty"`
	Properties           map[string]*Schema `json:"properties,omitempty"`
	Required             []string           `json:"required,omitempty"`
	AdditionalProperties *Schema            `json:"additionalProperties,omitempty"`
	Items                *Schema            `json:"items,omitempty"`
	Sensitive            string             `json:"x-sensitive,omitempty"` // why, in words
}

// schema gives the shape of a value with the name given, "" for none.
func (s *shape) schema(name string) *Schema {
	out := &Schema{Sensitive: s.sensitive(name)}
	var types []string
	for _, t := range []struct {
		name string
		n    int64
	}{
		{"object", s.objects + s.partly}, {"array", s.arrays}, {"string", s.texts}, {"boolean", s.bools}, {"null", s.nulls},
	} {
		if t.n > 0 {
			types = append(types, t.name)
		}
	}
	switch {
	case s.numbers > 0:
		types = append(types, "number")
	case s.ints > 0:
		types = append(types, "integer")
	}
	if s.masked > 0 && s.masked == s.texts && len(types) == 1 {
		types = nil // the mask stands for whatever it was
	}
	switch len(types) {
	case 0:
	case 1:
		out.Type = types[0]
	default:
		out.Type = types
	}
	if s.texts > 0 && s.format != mixed && s.masked == 0 {
		out.Format = s.format
	}
	if len(types) == 1 && s.texts > 0 && out.Sensitive == "" {
		out.Enum = s.words.enum()
	}
	for _, field := range slices.Sorted(maps.Keys(s.fields)) {
		if out.Properties == nil {
			out.Properties = map[string]*Schema{}
		}
		out.Properties[field] = s.fields[field].schema(field)
		if s.required(s.fields[field]) {
			out.Required = append(out.Required, field)
		}
	}
	if s.open != nil {
		out.AdditionalProperties = s.open.schema("")
	}
	if s.items != nil {
		out.Items = s.items.schema(name)
	}
	return out
}

// kindsSchema is the schema of a parameter of a path.
func kindsSchema(name string, kinds map[kind]int64) *Schema {
	out := &Schema{Type: "string", Sensitive: sensitiveName(name)}
	if len(kinds) != 1 {
		return out
	}
	for k := range kinds {
		switch k {
		case number:
			out.Type = "integer"
		case uuid, date, email:
			out.Format = string(k)
		}
		if k == email {
			out.Sensitive = "e-mail address"
		}
	}
	return out
}
