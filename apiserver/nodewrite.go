package apiserver

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// FollowLabels tells the labels of this Node, and again whenever they changed, until ctx ends; nil while they are not known: before
// Run has read the Node, and while the server is away. It tells from the goroutine of the call. Maps must not be changed.
func (c *Client) FollowLabels(ctx context.Context, tell func(labels map[string]string)) error {
	var told map[string]string
	for first := true; ; first = false {
		n, changed := c.node.current.get()
		var now map[string]string
		if n != nil {
			if now = n.Labels; now == nil {
				now = map[string]string{}
			}
		}
		if first || (now == nil) != (told == nil) || !maps.Equal(now, told) {
			told = now
			tell(now)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// SetLabel writes a label of this Node; an empty value removes it. It makes one attempt of at most 5 s.
func (c *Client) SetLabel(ctx context.Context, key, value string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	to := &value
	if value == "" {
		to = nil
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"labels": map[string]*string{key: to}}})
	if err != nil {
		return err
	}
	_, err = c.node.api.Patch(ctx, c.cfg.Node, types.MergePatchType, patch, metav1.PatchOptions{})
	if c.writes.did(writeLabel, err) != nil {
		return fmt.Errorf("write the label %s=%s of Node %s: %w", key, value, c.cfg.Node, needs(err, "patch on nodes"))
	}
	return nil
}

// SetCondition writes a condition of this Node; nothing is sent when the Node says the same already. The time of the last transition
// stays while the status does. It makes one attempt of at most 5 s.
func (c *Client) SetCondition(ctx context.Context, kind string, status bool, reason, message string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	n := c.node
	n.mu.Lock()
	defer n.mu.Unlock()
	before, err := n.condition(ctx, corev1.NodeConditionType(kind))
	if err != nil {
		return fmt.Errorf("read the condition %s of Node %s: %w", kind, c.cfg.Node, err)
	}
	now := metav1.NewTime(c.cfg.Clock())
	next := corev1.NodeCondition{
		Type: corev1.NodeConditionType(kind), Status: corev1.ConditionFalse, Reason: reason, Message: message,
		LastHeartbeatTime: now, LastTransitionTime: now,
	}
	if status {
		next.Status = corev1.ConditionTrue
	}
	if before.Status == next.Status {
		next.LastTransitionTime = before.LastTransitionTime
	}
	if sayAlike(before, next) && n.shows(next) {
		return nil
	}
	// A strategic merge patch: conditions are merged by type, and the other ones stay. It names each field: an empty message that was
	// left out would leave that of before.
	patch, err := json.Marshal(map[string]any{"status": map[string]any{"conditions": []any{map[string]any{
		"type": next.Type, "status": next.Status, "reason": next.Reason, "message": next.Message,
		"lastHeartbeatTime": next.LastHeartbeatTime, "lastTransitionTime": next.LastTransitionTime,
	}}}})
	if err != nil {
		return err
	}
	_, err = n.api.Patch(ctx, c.cfg.Node, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	if c.writes.did(writeCondition, err) != nil {
		return fmt.Errorf("write the condition %s of Node %s: %w", kind, c.cfg.Node, needs(err, "patch on nodes/status"))
	}
	n.written[next.Type] = next
	return nil
}

// condition is the newest that is known: what we wrote, which the watch may not show yet, else what the Node says. It needs mu.
func (n *node) condition(ctx context.Context, kind corev1.NodeConditionType) (corev1.NodeCondition, error) {
	if c, ok := n.written[kind]; ok {
		return c, nil
	}
	now := n.current.load()
	if now == nil {
		var err error
		if now, err = n.api.Get(ctx, n.cfg.Node, metav1.GetOptions{}); err != nil {
			return corev1.NodeCondition{}, needs(err, "get on nodes")
		}
	}
	c, _ := conditionOf(now, kind)
	return c, nil
}

// shows reports whether the Node is known to say this: another may have overwritten what we wrote.
func (n *node) shows(c corev1.NodeCondition) bool {
	now := n.current.load()
	if now == nil {
		return false
	}
	there, ok := conditionOf(now, c.Type)
	return ok && sayAlike(there, c)
}

func conditionOf(n *corev1.Node, kind corev1.NodeConditionType) (corev1.NodeCondition, bool) {
	for _, c := range n.Status.Conditions {
		if c.Type == kind {
			return c, true
		}
	}
	return corev1.NodeCondition{}, false
}

// sayAlike reports whether two conditions say the same, whenever.
func sayAlike(a, b corev1.NodeCondition) bool {
	return a.Status == b.Status && a.Reason == b.Reason && a.Message == b.Message
}
