package declarative

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"

	"sidekong/configs/entity"
)

// Marshal writes a document as kong.yaml in format 3.0: flat, with every id, what is not served included, without the
// nulls that a missing field means anyway. Parse gives the same document back. The text holds the document's secrets.
//
// Kong: kong/db/declarative/export.lua export_from_db
func Marshal(d *Document, schemas *entity.Schemas) ([]byte, error) {
	root := &yaml.Node{Kind: yaml.MappingNode}
	put(root, "_format_version", text("3.0"))
	put(root, "_transform", &yaml.Node{Kind: yaml.ScalarNode, Value: "false"}) // passwords are hashed already
	names := make([]string, 0, len(kinds))
	for _, k := range kinds {
		names = append(names, k.name)
	}
	for _, name := range slices.Sorted(maps.Keys(d.Others)) {
		if kindByName[name] == nil {
			names = append(names, name)
		}
	}
	for _, name := range names {
		list := &yaml.Node{Kind: yaml.SequenceNode}
		for _, e := range slices.Concat(d.Entities[name], d.Others[name]) {
			list.Content = append(list.Content, entityNode(kindByName[name], e.Object, schemas))
		}
		if len(list.Content) > 0 {
			put(root, name, list)
		}
	}
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(root); err != nil {
		return nil, fmt.Errorf("write configuration: %w", err)
	}
	return out.Bytes(), nil
}

func put(mapping *yaml.Node, name string, value *yaml.Node) {
	mapping.Content = append(mapping.Content, text(name), value)
}

// entityNode writes an entity with its name first. References become ids, the form that every reader of kong.yaml
// takes. k is nil for a kind that is not served.
func entityNode(k *kind, object entity.Object, schemas *entity.Schemas) *yaml.Node {
	var schema *entity.Field
	if k != nil {
		schema = schemaOf(k, object, schemas)
	}
	node := &yaml.Node{Kind: yaml.MappingNode}
	first := []string{"name", "username", "target", "id"}
	rest := slices.DeleteFunc(slices.Sorted(maps.Keys(object)), func(name string) bool { return slices.Contains(first, name) })
	for _, name := range slices.Concat(first, rest) {
		value, ok := object[name]
		if !ok || isImplied(schema, name, value) {
			continue
		}
		if k != nil && k.refs[name] != "" && value != nil {
			value = refID(object, name)
		}
		put(node, name, valueNode(fieldSchema(schema, name), value))
	}
	return node
}

func schemaOf(k *kind, object entity.Object, schemas *entity.Schemas) *entity.Field {
	schema, _ := schemas.Of(k.name)
	name, _ := object["name"].(string)
	config, _ := schema.Variant(name)
	return whole(k, schema, config)
}

// isImplied says whether a value is a null that a reader fills in for a missing field.
func isImplied(schema *entity.Field, name string, value any) bool {
	if value != nil || schema == nil || schema.Record == nil {
		return false
	}
	f := fieldSchema(schema, name)
	return f != nil && f.Default == nil && f.Type != entity.RecordType
}

func valueNode(schema *entity.Field, value any) *yaml.Node {
	switch value := value.(type) {
	case entity.Object:
		node := &yaml.Node{Kind: yaml.MappingNode}
		for _, name := range slices.Sorted(maps.Keys(value)) {
			if !isImplied(schema, name, value[name]) {
				put(node, name, valueNode(fieldSchema(schema, name), value[name]))
			}
		}
		if len(node.Content) == 0 {
			node.Style = yaml.FlowStyle
		}
		return node
	case []any:
		node := &yaml.Node{Kind: yaml.SequenceNode}
		for _, item := range value {
			node.Content = append(node.Content, valueNode(elements(schema), item))
		}
		if len(node.Content) == 0 {
			node.Style = yaml.FlowStyle
		}
		return node
	case string:
		return text(value)
	case bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Value: strconv.FormatBool(value)}
	case float64:
		return &yaml.Node{Kind: yaml.ScalarNode, Value: strconv.FormatFloat(value, 'f', -1, 64)}
	case nil:
		return &yaml.Node{Kind: yaml.ScalarNode, Value: "null"}
	}
	return text(fmt.Sprint(value))
}

// text is a string that every YAML reader takes for one, in quotes where it would be something else without.
func text(s string) *yaml.Node {
	node := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}
	if _, ok := resolveScalar(s).(string); !ok {
		node.Style = yaml.DoubleQuotedStyle
	}
	return node
}
