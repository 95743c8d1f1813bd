package label

import (
	"context"
	"time"
)

// How often the Node is written to.
const (
	settle       = 200 * time.Millisecond // what changes together is written once
	between      = time.Second            // two writes at least
	betweenTexts = 10 * time.Second       // when the message alone is different
	reclaim      = 10 * time.Second       // before a label that another changed is written again
	firstRetry   = time.Second
	lastRetry    = time.Minute
)

// written is what the Node was told last.
type written struct {
	status  Status
	any     bool // something was written by this process
	at      time.Time
	failed  bool
	backoff time.Duration
}

// write keeps the Node's label and condition up with the status. It never gives up.
func (f *Follower) write(ctx context.Context) {
	var w written
	for {
		want, changed := f.status.Get()
		labels, relabelled := f.cfg.Labels.Get()
		var timer <-chan time.Time
		if wait, due := w.due(want, labels, time.Now()); due {
			if wait <= 0 {
				f.put(ctx, &w, want, labels)
				continue
			}
			timer = time.After(wait)
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
			if !pause(ctx, settle) {
				return
			}
		case <-relabelled:
		case <-timer:
		}
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// due reports whether the Node is to be written to, and when.
func (w *written) due(want Status, labels map[string]string, now time.Time) (wait time.Duration, due bool) {
	if want.Reason == "" || labels == nil {
		return 0, false // nothing is known, or nothing can be written
	}
	after := func(d time.Duration) (time.Duration, bool) { return w.at.Add(d).Sub(now), true }
	differs := labels[StateLabel] != want.State
	switch {
	case want.Reason == ReasonNotAsked && !w.any && !differs:
		return 0, false // nobody ever asked: the Node need not be told
	case w.failed:
		return after(w.backoff)
	case !w.any:
		return 0, true
	case w.status.Config != want.Config || w.status.State != want.State || w.status.Reason != want.Reason:
		return after(between)
	case w.status.Message != want.Message:
		return after(betweenTexts)
	case differs: // the watch is behind, or somebody else writes it
		return after(reclaim)
	}
	return 0, false
}

// put writes the condition, then the label: who waits for the label finds the reason.
func (f *Follower) put(ctx context.Context, w *written, want Status, labels map[string]string) {
	if w.any && !w.failed && w.status == want {
		f.cfg.Log.Warn("somebody else writes the label "+StateLabel, "state", labels[StateLabel], "written", want.State)
	}
	ok := want.Reason == ReasonReached || want.Reason == ReasonNotAsked
	err := f.cfg.Writer.SetCondition(ctx, ConditionType, ok, want.Reason, want.Message)
	if err == nil && (labels[StateLabel] != want.State || w.status.State != want.State) {
		err = f.cfg.Writer.SetLabel(ctx, StateLabel, want.State)
	}
	w.at = time.Now()
	if err != nil {
		if ctx.Err() != nil {
			return
		}
		w.failed, w.backoff = true, min(max(2*w.backoff, firstRetry), lastRetry)
		f.cfg.Log.Warn("the state of the MIG layout is not on the Node", "state", want.State, "again", w.backoff, "err", err)
		return
	}
	*w = written{status: want, any: true, at: w.at}
}
