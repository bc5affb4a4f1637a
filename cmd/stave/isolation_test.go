package main

import (
	"path/filepath"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// TestPoliciesAreLearntWhole: of what cannot be read nothing is taken, so that no pod is open for it.
func TestPoliciesAreLearntWhole(t *testing.T) {
	i, err := recallIsolation(filepath.Join(t.TempDir(), "policies.json"))
	if err != nil {
		t.Fatal(err)
	}
	row := func(name, cidr string) projections.NetPolicy {
		return projections.NetPolicy{Key: events.Key{Resource: events.NetworkPolicies, Namespace: "default", Name: name},
			Ingress: &projections.NetRules{Rules: []projections.NetRule{{Blocks: []networkingv1.IPBlock{{CIDR: cidr}}}}}}
	}
	kept, bad := row("kept", "10.0.0.0/8"), row("bad", "10.0.0.0/99")
	if err := i.learn([]projections.NetPolicy{kept}, nil); err != nil {
		t.Fatal(err)
	}
	if err := i.learn([]projections.NetPolicy{row("new", "10.0.0.0/8"), bad}, []events.Key{kept.Key}); err == nil {
		t.Fatal("a block of 99 bits was read")
	}
	if len(i.rows) != 1 || len(i.policies) != 1 || i.policies[kept.Key].Name != "kept" {
		t.Errorf("%+v", i.policies)
	}
	select {
	case <-i.read:
		t.Error("policies that nobody told are known")
	default:
	}
}
