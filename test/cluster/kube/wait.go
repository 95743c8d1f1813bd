package kube

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
)

// follow calls seen with each version of one object, first the present one, and with the zero value
// when there is none, until seen says true or ctx ends. Lost connections are made anew.
func follow[T runtime.Object](ctx context.Context, name string, list func(context.Context, meta.ListOptions) ([]T, string, error),
	watcher func(context.Context, meta.ListOptions) (watch.Interface, error), seen func(T, bool) bool,
) error {
	options := meta.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", name).String()}
	var last error
	for ctx.Err() == nil {
		done, err := once(ctx, options, list, watcher, seen)
		if done {
			return nil
		}
		if err != nil {
			if ctx.Err() == nil {
				last = err
			}
			select {
			case <-ctx.Done():
			case <-time.After(200 * time.Millisecond):
			}
		}
	}
	if last != nil {
		return fmt.Errorf("%w (the last error: %w)", context.Cause(ctx), last)
	}
	return context.Cause(ctx)
}

func once[T runtime.Object](ctx context.Context, options meta.ListOptions, list func(context.Context, meta.ListOptions) ([]T, string, error),
	watcher func(context.Context, meta.ListOptions) (watch.Interface, error), seen func(T, bool) bool,
) (bool, error) {
	var none T
	items, version, err := list(ctx, options)
	if err != nil {
		return false, err
	}
	if len(items) == 0 && seen(none, false) || len(items) > 0 && seen(items[0], true) {
		return true, nil
	}
	options.ResourceVersion = version
	w, err := watcher(ctx, options)
	if err != nil {
		return false, err
	}
	defer w.Stop()
	for {
		var event watch.Event
		var open bool
		select {
		case <-ctx.Done():
			return false, nil
		case event, open = <-w.ResultChan():
			if !open {
				return false, nil
			}
		}
		object, ok := event.Object.(T)
		switch {
		case !ok:
			return false, fmt.Errorf("watch: %v", event.Object)
		case event.Type == watch.Deleted:
			if seen(none, false) {
				return true, nil
			}
		case seen(object, true):
			return true, nil
		}
	}
}

// A Check says whether a pod is as one waits for it to be.
type Check func(*core.Pod) bool

// Wait waits until check holds for the pod. It fails when the pod is deleted or replaced, or when ctx
// ends, and then tells what state the pod was in and what its events were.
func (k *Kube) Wait(ctx context.Context, pod *core.Pod, check Check) (*core.Pod, error) {
	last, gone := pod, false
	err := k.pod(ctx, pod, func(now *core.Pod, found bool) bool {
		if !found || now.UID != pod.UID {
			gone = true
			return true
		}
		last = now
		return check(now)
	})
	if gone {
		return last, fmt.Errorf("pod %s was deleted; before, it was %s", pod.Name, Describe(last))
	}
	if err != nil {
		return last, fmt.Errorf("wait for pod %s, which is %s: %w%s", pod.Name, Describe(last), err, k.events(ctx, last))
	}
	return last, nil
}

// Gone waits until the pod does not exist.
func (k *Kube) Gone(ctx context.Context, pod *core.Pod) error {
	err := k.pod(ctx, pod, func(now *core.Pod, found bool) bool { return !found || now.UID != pod.UID })
	if err != nil {
		return fmt.Errorf("wait until pod %s is gone: %w", pod.Name, err)
	}
	return nil
}

func (k *Kube) pod(ctx context.Context, pod *core.Pod, seen func(*core.Pod, bool) bool) error {
	pods := k.Client.CoreV1().Pods(pod.Namespace)
	return follow(ctx, pod.Name, func(ctx context.Context, o meta.ListOptions) ([]*core.Pod, string, error) {
		list, err := pods.List(ctx, o)
		if err != nil {
			return nil, "", err
		}
		return pointers(list.Items), list.ResourceVersion, nil
	}, pods.Watch, seen)
}

func pointers[T any](items []T) []*T {
	out := make([]*T, len(items))
	for i := range items {
		out[i] = &items[i]
	}
	return out
}

// Phase holds when the pod is in the phase.
func Phase(phase core.PodPhase) Check {
	return func(p *core.Pod) bool { return p.Status.Phase == phase }
}

// Ready holds when the pod's containers run and are ready.
func Ready(p *core.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == core.PodReady {
			return c.Status == core.ConditionTrue
		}
	}
	return false
}

// Ended holds when the pod has succeeded or failed.
func Ended(p *core.Pod) bool {
	return p.Status.Phase == core.PodSucceeded || p.Status.Phase == core.PodFailed
}

// Unschedulable holds when the scheduler has looked and found no node.
func Unschedulable(p *core.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == core.PodScheduled {
			return c.Status == core.ConditionFalse && c.Reason == core.PodReasonUnschedulable
		}
	}
	return false
}

// Restarted holds when the named container has been restarted at least n times and runs.
func Restarted(container string, n int32) Check {
	return func(p *core.Pod) bool {
		for _, s := range p.Status.ContainerStatuses {
			if s.Name == container {
				return s.RestartCount >= n && s.State.Running != nil
			}
		}
		return false
	}
}

// Describe says in one line what a pod is doing, and why.
func Describe(p *core.Pod) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s on %q", or(p.Status.Phase, "new"), p.Spec.NodeName)
	if p.Status.Reason != "" || p.Status.Message != "" {
		fmt.Fprintf(&b, " (%s: %s)", p.Status.Reason, p.Status.Message)
	}
	for _, c := range p.Status.Conditions {
		if c.Status == core.ConditionFalse && c.Message != "" {
			fmt.Fprintf(&b, "; %s: %s", c.Reason, c.Message)
		}
	}
	for _, s := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		switch {
		case s.State.Waiting != nil:
			fmt.Fprintf(&b, "; %s waits: %s %s", s.Name, s.State.Waiting.Reason, s.State.Waiting.Message)
		case s.State.Terminated != nil:
			fmt.Fprintf(&b, "; %s ended with %d: %s %s", s.Name, s.State.Terminated.ExitCode, s.State.Terminated.Reason, s.State.Terminated.Message)
		}
	}
	return b.String()
}

// events returns the pod's events, each on a line; ctx may have ended.
func (k *Kube) events(ctx context.Context, pod *core.Pod) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	list, err := k.Client.CoreV1().Events(pod.Namespace).List(ctx, meta.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("involvedObject.uid", string(pod.UID)).String(),
	})
	if err != nil {
		return ""
	}
	var b strings.Builder
	for _, e := range list.Items {
		fmt.Fprintf(&b, "\n\t%s %s: %s", e.LastTimestamp.Format(time.TimeOnly), e.Reason, e.Message)
	}
	return b.String()
}
