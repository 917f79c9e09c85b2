package declarative

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// reader turns one input into a value.
type reader struct {
	name   string
	text   []byte
	env    environment
	report *report
	path   trail // to what is being read
	pause  func()

	anchored map[*yaml.Node]*value
	open     map[*yaml.Node]bool // anchored nodes that are being read
}

// read gives the roots of an input, each a map, or none when there is nothing to work with. An input has one root,
// unless it holds Kubernetes manifests.
func (r *reader) read() []*value {
	if len(r.text) > MaxBytes {
		r.report.fault(r.at(0, 0), "", "%d bytes, at most %d are allowed", len(r.text), MaxBytes)
		return nil
	}
	text, err := r.env.hide(r.text)
	if err != nil {
		r.report.fault(r.at(1, 1), "", "%v", err)
		return nil
	}
	r.text = text
	var roots []*value
	if r.isJSON() {
		if root := r.json(); root != nil {
			roots = []*value{root}
		}
	} else {
		roots = r.yaml()
	}
	if roots == nil {
		return nil
	}
	if roots = slices.DeleteFunc(roots, (*value).isNull); len(roots) == 0 {
		r.report.fault(r.at(1, 1), "", `the file is empty; a configuration begins with _format_version: "3.0"`)
		return nil
	}
	size := 0
	for _, root := range roots {
		if root.shape != mapShape {
			r.report.fault(root.at, "", "expected a map with _format_version, services, routes, …; found %s", root.describe())
			return nil
		}
		if size += min(root.expandedSize(), maxValues+1); size > maxValues {
			r.report.fault(root.at, "", "its aliases expand to more than %d values", maxValues)
			return nil
		}
	}
	return roots
}

func (r *reader) at(line, column int) Position {
	return Position{File: r.name, Line: line, Column: column}
}

// yaml reads the first document, as Kong does, and of those that follow the Kubernetes manifests.
func (r *reader) yaml() []*value {
	decoder := yaml.NewDecoder(pausing{bytes.NewReader(r.text), r.pause})
	var roots []*value
	manifests, warned := false, false
	for {
		var document yaml.Node
		if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			r.syntaxFault(err)
			return nil
		}
		r.anchored = map[*yaml.Node]*value{}
		r.open = map[*yaml.Node]bool{}
		if len(roots) > 0 && !manifests && !looksLikeManifest(document.Content[0]) {
			if !warned {
				r.report.warn(r.at(document.Line, document.Column), "a second document (---): left out, as Kong reads the first one alone")
			}
			warned = true
			continue
		}
		root, _ := r.node(document.Content[0], 1)
		manifests = manifests || isManifest(root) || root.isNull()
		roots = append(roots, root)
	}
	if roots == nil {
		return []*value{{at: r.at(1, 1)}}
	}
	return roots
}

// pausing pauses before every read, of which the library makes one for each few hundred bytes.
type pausing struct {
	io.Reader
	pause func()
}

func (p pausing) Read(into []byte) (int, error) {
	p.pause()
	return p.Reader.Read(into)
}

// node converts n and says how deep the result is.
func (r *reader) node(n *yaml.Node, depth int) (v *value, height int) {
	at := r.at(n.Line, n.Column)
	if n.Kind == yaml.AliasNode {
		if r.open[n.Alias] {
			r.report.unreadable(at, r.path.String(), "alias *%s stands inside its own anchor", n.Value)
			return &value{at: at}, 1
		}
		n = n.Alias
	}
	if n.Anchor != "" {
		if v, ok := r.anchored[n]; ok {
			height = v.height
			if depth+height > maxDepth {
				r.report.unreadable(at, r.path.String(), "nested deeper than %d", maxDepth)
				return &value{at: at, height: 1}, 1
			}
			return v, height
		}
		r.open[n] = true
		defer func() {
			delete(r.open, n)
			v.height = height
			r.anchored[n] = v
		}()
	}
	v = &value{at: r.at(n.Line, n.Column)}
	if depth > maxDepth {
		r.report.unreadable(at, r.path.String(), "nested deeper than %d", maxDepth)
		return v, 1
	}
	switch n.Kind {
	case yaml.MappingNode:
		v.shape = mapShape
		height = r.mapping(v, n, depth)
	case yaml.SequenceNode:
		v.shape = listShape
		v.items = make([]*value, len(n.Content))
		for i, child := range n.Content {
			var h int
			r.path.element(i)
			v.items[i], h = r.node(child, depth+1)
			r.path.leave()
			height = max(height, h)
		}
	default:
		r.scalar(v, n)
	}
	return v, height + 1
}

// mapping fills v with the fields of n. Merged fields (<<) come after its own and give way to them.
func (r *reader) mapping(v *value, n *yaml.Node, depth int) (height int) {
	r.pause()
	var merged []*value
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, child := n.Content[i], n.Content[i+1]
		at := r.at(key.Line, key.Column)
		if key.Kind == yaml.AliasNode {
			key = key.Alias
		}
		if key.Kind != yaml.ScalarNode {
			r.report.fault(at, r.path.String(), "a field's name must be a string")
			continue
		}
		if key.Value == "<<" {
			r.path.enter("<<")
			source, h := r.node(child, depth+1)
			r.path.leave()
			height = max(height, h)
			maps := []*value{source}
			if source.shape == listShape {
				maps = source.items
			}
			for _, m := range maps {
				if m.shape != mapShape {
					r.report.fault(m.at, member(r.path.String(), "<<"), "only a map or a list of maps can be merged, found %s", m.describe())
					continue
				}
				merged = append(merged, m)
			}
			continue
		}
		name := r.fill(key.Value, at)
		if first, ok := v.field(name); ok {
			r.report.fault(at, member(r.path.String(), name), "stands here a second time; the first is at %s", first.at)
			continue
		}
		r.path.enter(name)
		val, h := r.node(child, depth+1)
		r.path.leave()
		height = max(height, h)
		v.add(field{name: name, at: at, val: val})
	}
	for _, m := range merged {
		for _, f := range m.fields {
			if _, ok := v.field(f.name); !ok {
				v.add(f)
			}
		}
	}
	return height
}

func (r *reader) scalar(v *value, n *yaml.Node) {
	text := r.fill(n.Value, v.at)
	tag := ""
	if n.Style&yaml.TaggedStyle != 0 {
		tag = n.ShortTag()
	}
	switch {
	case tag == "!!str":
		v.scalar = text
	case tag == "!!null":
		v.scalar = nil
	case n.Style&^yaml.TaggedStyle == 0 || tag == "!!int" || tag == "!!float" || tag == "!!bool":
		v.bare = true
		v.scalar = resolveScalar(text)
	default:
		v.scalar = text
	}
	if number, ok := v.scalar.(float64); ok && (math.IsNaN(number) || math.IsInf(number, 0)) {
		r.report.unreadable(v.at, r.path.String(), "%s is not a finite number; put it in quotes if it is text", n.Value)
		v.scalar = nil
	}
}

// fill puts in values from the environment.
func (r *reader) fill(text string, at Position) string {
	filled, used, err := r.env.fill(text)
	if err != nil {
		r.report.unreadable(at, r.path.String(), "%v", err)
	}
	for _, s := range used {
		if len(s.value) >= minSecret {
			r.report.secrets = append(r.report.secrets, s)
		}
	}
	return filled
}

// minSecret keeps messages readable: a shorter value from the environment (a port, a flag) may be shown.
const minSecret = 6

var (
	yamlError     = regexp.MustCompile(`^yaml: (?:line ([0-9]+): )?(.*)`)
	unknownAnchor = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)
	// The library counts lines from 0 in these.
	fromZero = regexp.MustCompile(`^did not find expected (key|node content|'-' indicator|',' or .|<document start>|<stream-start>)`)
)

// syntaxFault reports text that is no YAML. The library names at most a line; the line's first character stands in
// for the column where nothing better is known.
func (r *reader) syntaxFault(err error) {
	message, line := err.Error(), 1
	if m := yamlError.FindStringSubmatch(message); m != nil {
		message = strings.TrimSpace(m[2])
		if n, err := strconv.Atoi(m[1]); err == nil {
			line = n
			if fromZero.MatchString(message) {
				line++
			}
		}
	}
	at := r.at(line, 1)
	if lines := bytes.SplitN(r.text, []byte("\n"), line+1); line <= len(lines) {
		content := lines[line-1]
		at.Column += len(content) - len(bytes.TrimLeft(content, " \t"))
		if tab := bytes.IndexByte(content[:at.Column-1], '\t'); tab >= 0 {
			at.Column, message = tab+1, "a tab indents this line; YAML allows spaces alone"
		}
	}
	if m := unknownAnchor.FindStringSubmatch(message); m != nil {
		message = fmt.Sprintf("alias *%s has no anchor &%[1]s before it", m[1])
		if i := bytes.Index(r.text, []byte("*"+m[1])); i >= 0 {
			at = r.position(i)
		}
	}
	if i := bytes.IndexFunc(r.text, notYAML); i >= 0 {
		at, message = r.position(i), "a control character or a byte that is no UTF-8"
	}
	r.report.fault(at, "", "not YAML: %s", message)
}

// notYAML says which characters YAML forbids.
func notYAML(c rune) bool {
	return c < 0x20 && c != '\t' && c != '\n' && c != '\r' || c >= 0x7F && c < 0xA0 && c != 0x85 || c == utf8.RuneError
}

// position is the place of a byte of the text.
func (r *reader) position(offset int) Position {
	before := r.text[:max(0, min(offset, len(r.text)))]
	lineStart := bytes.LastIndexByte(before, '\n') + 1
	return r.at(bytes.Count(before, []byte("\n"))+1, utf8.RuneCount(before[lineStart:])+1)
}
