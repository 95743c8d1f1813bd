package fakekubelet

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// The kubelet's limits for the unary calls of podresources and the Pods API.
const (
	perSecond = 100
	burst     = 10
)

// limiter refuses calls beyond perSecond after a burst.
type limiter struct {
	clock  Clock
	mu     sync.Mutex
	tokens float64   // guarded by mu
	at     time.Time // guarded by mu
}

func newLimiter(c Clock) *limiter { return &limiter{clock: c, tokens: burst, at: c.Now()} }

func (l *limiter) allow() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.clock.Now()
	l.tokens = min(burst, l.tokens+now.Sub(l.at).Seconds()*perSecond)
	l.at = now
	if l.tokens < 1 {
		return false
	}
	l.tokens--
	return true
}

func (l *limiter) intercept(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	if !l.allow() {
		return nil, status.Error(codes.ResourceExhausted, "rejected by rate limit")
	}
	return handler(ctx, req)
}
