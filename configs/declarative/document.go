// Package declarative reads Kong's declarative configuration (kong.yaml, its JSON twin and what decK adds to them) and
// writes it. Beside it, or in its place, it reads the Kubernetes manifests that Kong's ingress controller serves.
//
// Parse takes any number of inputs and gives one Document: every entity flat, checked by its schema with all defaults
// filled in, with an id and with references resolved to ids. Or it gives Faults: all of them, each with its place.
package declarative

import (
	"sidekong/configs/entity"
)

// Input is one file, or what stands in for one.
type Input struct {
	Name string // as the user knows it; names ending in .json are JSON, others YAML or JSON
	Data []byte
}

// Options is what Parse needs to know besides the inputs.
type Options struct {
	Schemas *entity.Schemas
	// LookupEnv finds the variables of decK's ${{ env "DECK_X" }}. Nil knows none.
	LookupEnv func(name string) (value string, set bool)
	// Pause is called again and again on the way, at least once for every entity: a large configuration takes a while, in
	// which others may need the processor. Nil is no pause.
	Pause func()
}

// Entity is one entity and the place where it was written.
type Entity struct {
	entity.Object
	Position Position
}

// Document is a configuration as a set of entities.
type Document struct {
	// Entities holds what Sidekong serves, by kind ("services", "routes", …) in the order in which it was written:
	// checked objects with ids whose references have the form {"id": …}.
	Entities map[string][]Entity
	// Others holds what was read and is not served: plugins that do not run, in the same form, and entities of kinds
	// that Entities does not have, as they were written.
	Others map[string][]Entity
}

// Objects gives the entities of a kind.
func (d *Document) Objects(kind string) []entity.Object {
	objects := make([]entity.Object, len(d.Entities[kind]))
	for i, e := range d.Entities[kind] {
		objects[i] = e.Object
	}
	return objects
}

// Parse reads inputs into one document: entities of all inputs together, as if they stood in one file. The error is a
// Faults, and then the warnings are those that were found so far. Inputs hold at most MaxBytes each.
func Parse(inputs []Input, options Options) (*Document, []Warning, error) {
	if options.Pause == nil {
		options.Pause = func() {}
	}
	r := &report{files: make(map[string]int, len(inputs)), broken: map[Position]bool{}}
	b := newBuilder(r, options)
	for i, input := range inputs {
		r.files[input.Name] = i
		in := &reader{name: input.Name, text: input.Data, env: environment{lookup: options.LookupEnv}, report: r, pause: options.Pause}
		for _, root := range in.read() {
			if isManifest(root) {
				b.manifest(root)
			} else {
				b.file(input.Name, root)
			}
		}
	}
	document := b.build()
	if err := r.err(); err != nil {
		return nil, r.sortedWarnings(), err
	}
	return document, r.sortedWarnings(), nil
}
