package agent

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/gpulet/gpulet/partitioner"
)

// PartitionOrder is a layout that somebody wants of some GPUs: Layout, Named, Whole or None.
type PartitionOrder struct {
	// GPUs are indexes or UUIDs; empty: all that can be divided.
	GPUs []string `json:"gpus,omitempty"`
	// Layout counts instances by profile.
	Layout map[string]int `json:"layout,omitempty"`
	// Named is the name of a configuration, of a file of mig-parted or made from the hardware.
	Named string `json:"named,omitempty"`
	// Whole: MIG mode off. None: MIG mode on without instances.
	Whole bool `json:"whole,omitempty"`
	None  bool `json:"none,omitempty"`
}

// Empty reports whether no layout is told.
func (o PartitionOrder) Empty() bool {
	return len(o.Layout) == 0 && o.Named == "" && !o.Whole && !o.None
}

// PlanQuestion asks what would be done.
type PlanQuestion struct {
	PartitionOrder
	// Pods are more pods, each with what it asks for by resource.
	Pods []map[string]int `json:"pods,omitempty"`
	// Empty: as if nothing were in use.
	Empty bool `json:"empty,omitempty"`
}

// PlanAnswer is what would be done.
type PlanAnswer struct {
	Steps []PlanStep `json:"steps"`
	// Served and Unmet are pods and declarations.
	Served []PlanServed `json:"served"`
	Unmet  []PlanUnmet  `json:"unmet"`
	Exact  bool         `json:"exact"`
	// After is the node after it.
	After partitioner.View `json:"after"`
}

// PlanStep is one change of the hardware.
type PlanStep struct {
	GPU int    `json:"gpu"`
	Do  string `json:"do"`
	Why string `json:"why"`
}

// PlanServed is a pod that would get devices.
type PlanServed struct {
	Who     string   `json:"who"`
	Devices []string `json:"devices"`
}

// PlanUnmet is a pod or a declaration that would wait.
type PlanUnmet struct {
	Who    string `json:"who"`
	Reason string `json:"reason"`
}

// SetPartition declares a layout until it is released. It gives a sentence for people.
func (c Client) SetPartition(ctx context.Context, o PartitionOrder) (string, error) {
	return c.order(ctx, "/partition/set", o)
}

// ReleasePartition ends what SetPartition declared.
func (c Client) ReleasePartition(ctx context.Context, o PartitionOrder) (string, error) {
	return c.order(ctx, "/partition/release", o)
}

func (c Client) order(ctx context.Context, path string, o any) (answer string, err error) {
	return answer, c.ask(ctx, path, o, &answer)
}

// Plan asks what would be done.
func (c Client) Plan(ctx context.Context, q PlanQuestion) (a PlanAnswer, err error) {
	return a, c.ask(ctx, "/plan", q, &a)
}

// ask sends a question as JSON, in the query: it is short.
func (c Client) ask(ctx context.Context, path string, question, into any) error {
	q, err := json.Marshal(question)
	if err != nil {
		return err
	}
	return c.call(ctx, http.MethodPost, path+"?q="+url.QueryEscape(string(q)), into)
}
