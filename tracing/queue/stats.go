package queue

import "time"

// Reason says why spans were dropped.
type Reason uint8

// The reasons for which spans are dropped.
const (
	QueueFull    Reason = iota // newer spans took their place
	RetryExpired               // the receiver could not be reached within MaxRetryTime
	TooLarge                   // one span larger than a post may be
	Shutdown                   // not delivered by the end of Close, or appended after it
	Unencodable                // the encoder's bytes were not the frames that it announced
	Unreadable                 // the disk did not give back what was stored on it
	reasons
)

// String gives the reason as it stands in metrics and logs.
func (r Reason) String() string {
	switch r {
	case QueueFull:
		return "queue_full"
	case RetryExpired:
		return "retry_expired"
	case TooLarge:
		return "too_large"
	case Shutdown:
		return "shutdown"
	case Unencodable:
		return "unencodable"
	case Unreadable:
		return "unreadable"
	}
	return "unknown"
}

// Dropped counts dropped spans; the index is the Reason.
type Dropped [reasons]uint64

// Total is the sum over all reasons.
func (d Dropped) Total() uint64 {
	var total uint64
	for _, n := range d {
		total += n
	}
	return total
}

// Stats is a snapshot of a queue. At every moment Created = Delivered + Rejected + Dropped.Total() + Queued. It holds
// over restarts too: what Close leaves on disk stays Queued, and is Recovered, hence Created, in the queue that finds it.
type Stats struct {
	Created   uint64 // spans appended, and Recovered
	Recovered uint64 // spans that another queue had left on disk
	Delivered uint64 // accepted by the receiver
	Rejected  uint64 // refused by the receiver, by status or as a partial success
	Dropped   Dropped

	Queued      uint64 // spans held, those in flight included
	QueuedBytes int64  // their bytes
	InFlight    uint64 // spans of posts on the wire, and of posts that wait for a retry
	Stored      uint64 // spans that wait on disk; posts come on top

	Posts       uint64    // tries to send
	Retries     uint64    // those that were not the first of their spans
	LastError   string    // of the last post that failed or met a remark; empty when none did
	LastErrorAt time.Time // when that was
	LastSuccess time.Time // when a post was last accepted; zero: never
	Failing     bool      // the last post that ended has failed
}
