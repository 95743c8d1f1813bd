package deviceplugin

import (
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// RefusalError is an answer of no to the kubelet. Its text is what the user reads in the pod's status or event.
type RefusalError struct {
	Code   codes.Code
	Reason string // one word for metrics
	Text   string
}

func (r *RefusalError) Error() string { return r.Text }

// GRPCStatus is what the kubelet gets.
func (r *RefusalError) GRPCStatus() *status.Status { return status.New(r.Code, r.Text) }

// The reasons of refusals.
const (
	refusedUnknown  = "unknown"   // an id that is not listed
	refusedGone     = "gone"      // it was listed, and its hardware is not there any more
	refusedShare    = "share"     // more than one share of a GPU
	refusedOverlap  = "overlap"   // another pod has the hardware under another name
	refusedNodes    = "nodes"     // its device nodes are not known
	refusedStart    = "not-ready" // a container's devices could not be made ready
	refusedLeftover = "leftover"  // a process of an ended pod is on it
)
