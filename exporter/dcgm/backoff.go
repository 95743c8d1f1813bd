package dcgm

import "time"

// The pauses before another try: they double from first to longest, and start anew after a good minute.
const (
	firstPause   = time.Second
	longestPause = time.Minute
	goodFor      = time.Minute
)

// backoff spaces tries.
type backoff struct{ last time.Duration }

// next is the pause after a try that was good for the given time.
func (b *backoff) next(good, longest time.Duration) time.Duration {
	if b.last == 0 || good >= goodFor {
		b.last = firstPause
	} else {
		b.last = min(2*b.last, longest)
	}
	return b.last
}
