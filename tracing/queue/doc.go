// Package queue holds the encoded spans of one opentelemetry plugin instance until a receiver has answered for them.
// It does the same for log records and metrics; what is said of spans here holds for them too.
//
// Spans come as frames: a span's protobuf message as field 2 of ScopeSpans, that is the byte 0x12, the length as a
// varint, the message. A run of frames is therefore a valid part of a ScopeSpans message and nothing is encoded twice.
// Log records are field 2 of ScopeLogs, metrics of ScopeMetrics, so that their frames look the same.
//
// Appending never waits for the network. Posts go out one after the other (or several at once); what arrives
// meanwhile accumulates, and the next post takes all of it. Every span is accounted for at every moment:
//
//	created = delivered + rejected + dropped (by reason) + queued
//
// Spans are encoded outside the lock, into buffers that each processor has of its own; under the one lock a request
// costs a copy of a kilobyte or so. That is little enough not to split the queue in shards, which would make neither the
// order of the spans nor a snapshot of the account exact.
//
// The store type is the place where spans wait. It keeps them in memory; another kind of storage has the same few
// methods.
//
// Kong: kong/tools/queue.lua. Its settings mean the same here. Two things differ: a post is not cut at Kong's default
// batch size, and a retry follows the receiver's wishes (Retry-After, refusals are final).
package queue
