package kube

import (
	"context"
	"fmt"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Allocatable returns how many of a resource the node says it has for pods; 0 if it does not know it.
func (k *Kube) Allocatable(ctx context.Context, node, resource string) (int64, error) {
	n, err := k.Client.CoreV1().Nodes().Get(ctx, node, meta.GetOptions{})
	if err != nil {
		return 0, err
	}
	return allocatable(n, resource), nil
}

func allocatable(n *core.Node, resource string) int64 {
	quantity := n.Status.Allocatable[core.ResourceName(resource)]
	return quantity.Value()
}

// WaitAllocatable waits until the node has exactly want of the resource for pods.
func (k *Kube) WaitAllocatable(ctx context.Context, node, resource string, want int64) error {
	last := int64(-1)
	_, err := k.WaitNode(ctx, node, func(n *core.Node) bool {
		last = allocatable(n, resource)
		return last == want
	})
	if err != nil {
		return fmt.Errorf("wait for %d of %s on %s, which has %d: %w", want, resource, node, last, err)
	}
	return nil
}

// WaitNode waits until check holds for the node.
func (k *Kube) WaitNode(ctx context.Context, node string, check func(*core.Node) bool) (*core.Node, error) {
	var last *core.Node
	nodes := k.Client.CoreV1().Nodes()
	err := follow(ctx, node, func(ctx context.Context, o meta.ListOptions) ([]*core.Node, string, error) {
		list, err := nodes.List(ctx, o)
		if err != nil {
			return nil, "", err
		}
		return pointers(list.Items), list.ResourceVersion, nil
	}, nodes.Watch, func(now *core.Node, found bool) bool {
		last = now
		return found && check(now)
	})
	return last, err
}

// NodeReady holds when the kubelet says that the node is Ready.
func NodeReady(n *core.Node) bool {
	for _, c := range n.Status.Conditions {
		if c.Type == core.NodeReady {
			return c.Status == core.ConditionTrue
		}
	}
	return false
}
