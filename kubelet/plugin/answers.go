package plugin

import (
	"context"

	"google.golang.org/grpc/stats"

	"github.com/gpulet/gpulet/kubelet"
)

// answers enters a gate with each call and leaves it when the answer is queued behind what was sent before. A handler's return
// is too early: the end of a stream could overtake the answer, and the kubelet closes its connection at that.
type answers struct{ gate *kubelet.Gate }

type answerKey struct{}

// TagRPC gives each call a place for what leaves the gate.
func (answers) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context {
	return context.WithValue(ctx, answerKey{}, new(func()))
}

// HandleRPC is called at each step of a call, by the goroutine that serves it.
func (a answers) HandleRPC(ctx context.Context, s stats.RPCStats) {
	leave, ok := ctx.Value(answerKey{}).(*func())
	if !ok {
		return
	}
	switch s := s.(type) {
	case *stats.Begin:
		if !s.IsServerStream {
			*leave = a.gate.Enter()
		}
	case *stats.End:
		if *leave != nil {
			(*leave)()
		}
	}
}

// TagConn does nothing.
func (answers) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn does nothing.
func (answers) HandleConn(context.Context, stats.ConnStats) {}
