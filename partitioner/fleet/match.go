package fleet

import (
	"encoding/json"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"github.com/gpulet/gpulet/apiserver"
)

// allows is the scheduler's rule of node selector, required node affinity and taints. Preferences are the scheduler's own matter.
func allows(p *apiserver.PendingPod, n *apiserver.NodeFacts) bool {
	for key, value := range p.NodeSelector {
		if has, ok := n.Labels[key]; !ok || has != value {
			return false
		}
	}
	if a := p.NodeAffinity; a != nil && a.RequiredDuringSchedulingIgnoredDuringExecution != nil {
		if !slices.ContainsFunc(a.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms, func(t corev1.NodeSelectorTerm) bool {
			return matches(&t, n)
		}) {
			return false
		}
	}
	for i := range n.Taints {
		t := &n.Taints[i]
		if t.Effect == corev1.TaintEffectPreferNoSchedule {
			continue
		}
		if !slices.ContainsFunc(p.Tolerations, func(o corev1.Toleration) bool { return tolerates(&o, t) }) {
			return false
		}
	}
	return true
}

// matches: all requirements of a term hold; an empty term holds nowhere.
func matches(t *corev1.NodeSelectorTerm, n *apiserver.NodeFacts) bool {
	if len(t.MatchExpressions)+len(t.MatchFields) == 0 {
		return false
	}
	for i := range t.MatchExpressions {
		value, ok := n.Labels[t.MatchExpressions[i].Key]
		if !holds(&t.MatchExpressions[i], value, ok) {
			return false
		}
	}
	for i := range t.MatchFields {
		if t.MatchFields[i].Key != "metadata.name" || !holds(&t.MatchFields[i], n.Name, true) {
			return false
		}
	}
	return true
}

func holds(r *corev1.NodeSelectorRequirement, value string, present bool) bool {
	switch r.Operator {
	case corev1.NodeSelectorOpIn:
		return present && slices.Contains(r.Values, value)
	case corev1.NodeSelectorOpNotIn:
		return !present || !slices.Contains(r.Values, value)
	case corev1.NodeSelectorOpExists:
		return present
	case corev1.NodeSelectorOpDoesNotExist:
		return !present
	case corev1.NodeSelectorOpGt, corev1.NodeSelectorOpLt:
		if !present || len(r.Values) != 1 {
			return false
		}
		have, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return false
		}
		bound, err := strconv.ParseInt(r.Values[0], 10, 64)
		return err == nil && (r.Operator == corev1.NodeSelectorOpGt && have > bound || r.Operator == corev1.NodeSelectorOpLt && have < bound)
	}
	return false
}

func tolerates(o *corev1.Toleration, t *corev1.Taint) bool {
	if o.Effect != "" && o.Effect != t.Effect || o.Key != "" && o.Key != t.Key {
		return false
	}
	switch o.Operator {
	case corev1.TolerationOpExists:
		return true
	case corev1.TolerationOpEqual, "":
		return o.Key != "" && o.Value == t.Value
	default: // comparisons of numbers are behind a gate of the scheduler
		return false
	}
}

// rules are pods with the same rules about nodes, with what is known of nodes by number: 0 unknown, 1 allowed, 2 not.
type rules struct {
	pod   *apiserver.PendingPod
	known []uint8
}

// rulesKey is the same for pods with the same rules.
func rulesKey(p *apiserver.PendingPod) string {
	if len(p.NodeSelector) == 0 && p.NodeAffinity == nil && len(p.Tolerations) == 0 {
		return ""
	}
	b, err := json.Marshal(struct {
		S map[string]string
		A *corev1.NodeAffinity
		T []corev1.Toleration
	}{p.NodeSelector, p.NodeAffinity, p.Tolerations})
	if err != nil {
		return string(p.UID)
	}
	return string(b)
}

func (r *rules) allow(i int, n *apiserver.NodeFacts) bool {
	if r.known[i] == 0 {
		r.known[i] = 2
		if allows(r.pod, n) {
			r.known[i] = 1
		}
	}
	return r.known[i] == 1
}
