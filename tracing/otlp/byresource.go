package otlp

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// resourceTag begins the field of a record in which a frame names attributes that its resource has beyond those of
// the client's: fields of a Resource message, 0x0a each. It is the first field of the record where there is one, it is
// ours, and the client takes it out before it sends the record. Its number, 19999, is one that no message of
// OpenTelemetry can have: protobuf keeps it for implementations.
var resourceTag = binary.AppendUvarint(nil, 19999<<3|2)

// appendResource appends the field that names attributes of the resource; nothing for none.
func appendResource(buf, attributes []byte) []byte {
	if len(attributes) == 0 {
		return buf
	}
	return protowire.AppendBytes(append(buf, resourceTag...), attributes)
}

// A part is the frames of one resource.
type part struct {
	attributes []byte // of the resource beyond the client's
	frames     []byte
}

// byResource splits frames by the resources that they name, in the order in which these come first. Where no frame
// names one, as is usual, nothing is copied.
func byResource(frames []byte) []part {
	if !namesResource(frames) {
		return []part{{frames: frames}}
	}
	var parts []part
	places := map[string]int{}
	for len(frames) > 0 {
		_, kind, tag := protowire.ConsumeTag(frames)
		size := protowire.ConsumeFieldValue(tagScopeRecord>>3, kind, frames[max(tag, 0):])
		if tag < 0 || size < 0 || kind != protowire.BytesType {
			break // the queue has seen to it that there is no such
		}
		record, _ := protowire.ConsumeBytes(frames[tag:])
		attributes, rest := takeResource(record)
		place, known := places[string(attributes)]
		if !known {
			place = len(parts)
			places[string(attributes)] = place
			parts = append(parts, part{attributes: attributes})
		}
		p := &parts[place]
		p.frames = protowire.AppendBytes(append(p.frames, tagScopeRecord), rest)
		frames = frames[tag+size:]
	}
	return parts
}

// namesResource reports whether any frame does.
func namesResource(frames []byte) bool {
	for len(frames) > 1 {
		size, width := binary.Uvarint(frames[1:])
		if width <= 0 || size > uint64(len(frames)-1-width) {
			return false
		}
		record := frames[1+width:]
		if bytes.HasPrefix(record[:size], resourceTag) {
			return true
		}
		frames = record[size:]
	}
	return false
}

// takeResource splits what a record names of its resource from the record.
func takeResource(record []byte) (attributes, rest []byte) {
	value, ok := bytes.CutPrefix(record, resourceTag)
	if !ok {
		return nil, record
	}
	attributes, size := protowire.ConsumeBytes(value)
	if size < 0 {
		return nil, record
	}
	return attributes, value[size:]
}

// extend gives the resource with further attributes, which take the place of those of the same name.
func extend(resource *resourcepb.Resource, attributes []byte) (*resourcepb.Resource, error) {
	if len(attributes) == 0 {
		return resource, nil
	}
	extended := &resourcepb.Resource{}
	if err := proto.Unmarshal(attributes, extended); err != nil {
		return nil, fmt.Errorf("decode resource: %w", err)
	}
	own := extended.Attributes
	for _, attr := range resource.GetAttributes() {
		if !slices.ContainsFunc(own, func(other *commonpb.KeyValue) bool { return other.Key == attr.Key }) {
			extended.Attributes = append(extended.Attributes, attr)
		}
	}
	return extended, nil
}
