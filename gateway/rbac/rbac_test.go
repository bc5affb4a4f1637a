package rbac

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers/stage"
)

// town is a cluster with the defaults and some people's roles.
func town(t *testing.T) *stage.World {
	t.Helper()
	w := stage.New()
	w.Do(Bootstrap(w.State)...)
	if again := Bootstrap(w.State); len(again) != 0 {
		t.Fatalf("the defaults are drafted again: %v", again)
	}
	add(w, events.Roles, "shop", "reader", `"rules":[{"verbs":["get","list"],"apiGroups":[""],"resources":["pods","pods/log"]},{"verbs":["get"],"apiGroups":[""],"resources":["configmaps"],"resourceNames":["conf"]}]`)
	add(w, events.RoleBindings, "shop", "readers", `"subjects":[{"kind":"User","name":"ann"},{"kind":"Group","name":"team"},{"kind":"ServiceAccount","name":"robot"}],"roleRef":{"kind":"Role","name":"reader"}`)
	add(w, events.RoleBindings, "shop", "editors", `"subjects":[{"kind":"User","name":"eva"}],"roleRef":{"kind":"ClusterRole","name":"edit"}`)
	add(w, events.ClusterRoleBindings, "", "viewers", `"subjects":[{"kind":"ServiceAccount","name":"watcher","namespace":"ops"}],"roleRef":{"kind":"ClusterRole","name":"view"}`)
	add(w, events.ClusterRoleBindings, "", "second", `"subjects":[{"kind":"ServiceAccount","name":"second","namespace":"ops"}],"roleRef":{"kind":"ClusterRole","name":"system:kube-scheduler"}`)
	add(w, events.ClusterRoleBindings, "", "dangling", `"subjects":[{"kind":"User","name":"ann"}],"roleRef":{"kind":"ClusterRole","name":"nowhere"}`)
	return w
}

func add(w *stage.World, r events.Resource, namespace, name, rest string) {
	w.Apply(events.Key{Resource: r, Namespace: namespace, Name: name}, `{"metadata":{"name":"`+name+`"},`+rest+`}`)
}

func account(namespace, name string) Who {
	return Who{Name: "system:serviceaccount:" + namespace + ":" + name, Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"}}
}

// what reads "get pods/log of web in shop", "list apps deployments everywhere" or
// "get /healthz".
func what(s string) What {
	words := strings.Fields(s)
	out := What{Verb: words[0]}
	if strings.HasPrefix(words[1], "/") {
		out.Path = words[1]
		return out
	}
	words = words[1:]
	if len(words) > 1 && words[1] != "of" && words[1] != "in" {
		out.Group, words = words[0], words[1:]
	}
	out.Resource, out.Subresource, _ = strings.Cut(words[0], "/")
	for i := 1; i+1 < len(words); i += 2 {
		if words[i] == "of" {
			out.Name = words[i+1]
		} else {
			out.Namespace = words[i+1]
		}
	}
	return out
}

func TestAllowed(t *testing.T) {
	w := town(t)
	ann, eva, nobody := Who{Name: "ann"}, Who{Name: "eva"}, Who{Name: "x", Groups: []string{"system:authenticated"}}
	for _, c := range []struct {
		who  Who
		what string
		want bool
	}{
		{ann, "get pods of web in shop", true}, {ann, "list pods in shop", true}, {ann, "get pods/log of web in shop", true},
		{ann, "watch pods in shop", false}, {ann, "get pods/exec of web in shop", false}, {ann, "get pods in other", false}, {ann, "list pods", false},
		{ann, "get apps pods of web in shop", false}, {ann, "get configmaps of conf in shop", true}, {ann, "get configmaps of other in shop", false}, {ann, "list configmaps in shop", false},
		{Who{Name: "bob", Groups: []string{"team"}}, "get pods in shop", true}, {Who{Name: "team"}, "get pods in shop", false},
		{account("shop", "robot"), "get pods in shop", true}, {account("other", "robot"), "get pods in shop", false},
		{account("ops", "watcher"), "list apps deployments", true}, {account("ops", "watcher"), "get pods/log of p in any", true}, {account("ops", "watcher"), "get secrets of s in ops", false},
		{account("ops", "watcher"), "create pods in ops", false}, {account("ops", "watcher"), "get rbac.authorization.k8s.io roles in ops", false},
		{eva, "create apps deployments in shop", true}, {eva, "get secrets of s in shop", true}, {eva, "create pods/exec of web in shop", true}, {eva, "get pods in shop", true},
		{account("ops", "second"), "create pods/binding of p in any", true}, {account("ops", "second"), "update coordination.k8s.io leases of kube-scheduler in ops", true},
		{account("ops", "second"), "update coordination.k8s.io leases of other in ops", false}, {account("ops", "second"), "create pods in any", false},
		{eva, "create events.k8s.io events in shop", true}, {eva, "delete resource.k8s.io resourceclaims of c in shop", true}, {account("ops", "watcher"), "list events.k8s.io events in any", true},
		{account("ops", "watcher"), "get resource.k8s.io resourceclaimtemplates of c in any", true}, {account("ops", "watcher"), "create events.k8s.io events in any", false},
		{Who{Name: "prometheus", Groups: []string{"system:monitoring"}}, "get nodes/metrics of n1", true}, {Who{Name: "prometheus", Groups: []string{"system:monitoring"}}, "get nodes/proxy of n1", false},
		{eva, "create rbac.authorization.k8s.io roles in shop", false}, {eva, "create pods in other", false}, {eva, "patch namespaces of shop in shop", false},
		{nobody, "create authorization.k8s.io selfsubjectaccessreviews", true}, {nobody, "get /apis/apps/v1", true}, {nobody, "get /healthz", true}, {nobody, "get /healthz/log", false},
		{nobody, "get /metrics", false}, {nobody, "get pods in shop", false}, {Who{Name: "y"}, "get /version", false},
		{Who{Name: "root", Groups: []string{Masters}}, "delete nodes of n1", true}, {Who{Name: "root", Groups: []string{Masters}}, "post /anything", true},
		{account("any", "one"), "get /openid/v1/jwks", true},
	} {
		if got, reason := Allowed(w.State, c.who, what(c.what)); got != c.want || (reason == "") == got && !slices.Contains(c.who.Groups, Masters) {
			t.Errorf("%s: %s is %v (%s)", c.who.Name, c.what, got, reason)
		}
	}
	if _, reason := Allowed(w.State, ann, what("get pods in shop")); reason != `RBAC: allowed by RoleBinding "readers/shop" of Role "reader" to User "ann"` {
		t.Error(reason)
	}
}

// Masters may everything also when every role is gone.
func TestNobodyIsLockedOut(t *testing.T) {
	if ok, _ := Allowed(projections.Empty(), Who{Name: "root", Groups: []string{Masters}}, what("delete nodes of n1")); !ok {
		t.Error("without roles")
	}
}

func TestAggregation(t *testing.T) {
	w := town(t)
	eva := Who{Name: "eva"}
	if ok, _ := Allowed(w.State, eva, what("get example.com things in shop")); ok {
		t.Fatal("before anybody says so")
	}
	add(w, events.ClusterRoles, "", "things", `"rules":[{"verbs":["get"],"apiGroups":["example.com"],"resources":["things"]}]`)
	w.Apply(events.Key{Resource: events.ClusterRoles, Name: "things"}, `{"metadata":{"name":"things","labels":{"rbac.authorization.k8s.io/aggregate-to-view":"true"}},"rules":[{"verbs":["get"],"apiGroups":["example.com"],"resources":["things"]}]}`)
	// view is a part of edit, which is one of admin.
	for _, role := range []string{"view", "edit", "admin"} {
		rules := RulesOf(w.State, rbacv1.RoleRef{Kind: "ClusterRole", Name: role}, "")
		if !slices.ContainsFunc(rules, what("get example.com things of x in shop").in) {
			t.Errorf("%s does not have it", role)
		}
	}
	if ok, _ := Allowed(w.State, eva, what("get example.com things in shop")); !ok {
		t.Error("the role of the binding does not")
	}
	// Two that hold each other end.
	for _, n := range []string{"a", "b"} {
		w.Apply(events.Key{Resource: events.ClusterRoles, Name: n}, `{"metadata":{"name":"`+n+`","labels":{"ring":"true"}},"aggregationRule":{"clusterRoleSelectors":[{"matchLabels":{"ring":"true"}}]}}`)
	}
	if rules := RulesOf(w.State, rbacv1.RoleRef{Kind: "ClusterRole", Name: "a"}, ""); len(rules) != 0 {
		t.Errorf("a ring has %v", rules)
	}
}

// A default keeps what people added, gets what it lacks, and is left alone when it says so.
func TestDefaultsComeBack(t *testing.T) {
	w := town(t)
	k := events.Key{Resource: events.ClusterRoles, Name: "system:discovery"}
	w.Apply(k, `{"metadata":{"name":"system:discovery"},"rules":[{"verbs":["get"],"nonResourceURLs":["/mine"]}]}`)
	binding := events.Key{Resource: events.ClusterRoleBindings, Name: "cluster-admin"}
	w.Apply(binding, `{"metadata":{"name":"cluster-admin"},"subjects":[{"kind":"User","name":"ann","apiGroup":"rbac.authorization.k8s.io"}],"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"cluster-admin"}}`)
	w.Do(Bootstrap(w.State)...)
	rules := RulesOf(w.State, rbacv1.RoleRef{Kind: "ClusterRole", Name: "system:discovery"}, "")
	for _, p := range []string{"get /mine", "get /apis/apps"} {
		if !slices.ContainsFunc(rules, what(p).in) {
			t.Errorf("%s is not in %v", p, rules)
		}
	}
	if b := projections.As[*rbacv1.ClusterRoleBinding](w.Get(binding)); len(b.Subjects) != 2 {
		t.Errorf("the binding has %v", b.Subjects)
	}
	w.Apply(k, `{"metadata":{"name":"system:discovery","annotations":{"rbac.authorization.kubernetes.io/autoupdate":"false"}},"rules":[]}`)
	if d := Bootstrap(w.State); len(d) != 0 {
		t.Errorf("one that is to be left alone: %v", d)
	}
}

func TestNobodyGivesWhatTheyHaveNot(t *testing.T) {
	w := town(t)
	add(w, events.ClusterRoles, "", "granter", `"rules":[{"verbs":["create","update"],"apiGroups":["rbac.authorization.k8s.io"],"resources":["roles","rolebindings"]}]`)
	add(w, events.RoleBindings, "shop", "granters", `"subjects":[{"kind":"User","name":"ann"}],"roleRef":{"kind":"ClusterRole","name":"granter"}`)
	add(w, events.Roles, "shop", "binder", `"rules":[{"verbs":["bind"],"apiGroups":["rbac.authorization.k8s.io"],"resources":["clusterroles"],"resourceNames":["admin"]},{"verbs":["escalate"],"apiGroups":["rbac.authorization.k8s.io"],"resources":["roles"]}]`)
	add(w, events.RoleBindings, "shop", "binders", `"subjects":[{"kind":"User","name":"ben"}],"roleRef":{"kind":"Role","name":"binder"}`)
	role := func(verbs ...string) *rbacv1.Role {
		r := &rbacv1.Role{Rules: []rbacv1.PolicyRule{{Verbs: verbs, APIGroups: []string{""}, Resources: []string{"pods"}}}}
		r.Name, r.Namespace = "r", "shop"
		return r
	}
	bind := func(kind, name string) *rbacv1.RoleBinding {
		b := &rbacv1.RoleBinding{RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: kind, Name: name}, Subjects: []rbacv1.Subject{{Kind: "User", Name: "x"}}}
		b.Name, b.Namespace = "b", "shop"
		return b
	}
	ann, ben, root := Who{Name: "ann", Groups: []string{"b", "a"}}, Who{Name: "ben"}, Who{Name: "root", Groups: []string{Masters}}
	clusterRole := &rbacv1.ClusterRole{AggregationRule: &rbacv1.AggregationRule{ClusterRoleSelectors: []metav1.LabelSelector{{MatchLabels: map[string]string{"a": "b"}}}}}
	clusterRole.Name = "sum"
	labelled := func(r *rbacv1.ClusterRole) *rbacv1.ClusterRole {
		r = r.DeepCopy()
		r.Labels = map[string]string{toRole("edit"): "true"}
		return r
	}
	let := func(r *rbacv1.Role) *rbacv1.Role {
		r = r.DeepCopy()
		r.Finalizers = []string{"example.com/x"}
		return r
	}
	strong := &rbacv1.ClusterRole{Rules: everything()}
	strong.Name = "strong"
	single := clusterRole.DeepCopy()
	single.AggregationRule = nil
	nowhere := func(kind string) *rbacv1.ClusterRoleBinding {
		return &rbacv1.ClusterRoleBinding{RoleRef: rbacv1.RoleRef{Kind: kind, Name: "nowhere"}}
	}
	clusterBinding := &rbacv1.ClusterRoleBinding{RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: "view"}}
	for name, c := range map[string]struct {
		who       Who
		old, next events.Object
		want      bool
	}{
		"what she has":        {ann, nil, role("get"), true},
		"more":                {ann, nil, role("get", "delete"), false},
		"the same again":      {ann, role("delete"), role("delete"), true},
		"less is asked too":   {ann, role("delete", "get"), role("delete"), false},
		"with escalate":       {ben, nil, role("delete"), true},
		"a role she has":      {ann, nil, bind("Role", "reader"), true},
		"a role that is more": {ann, nil, bind("ClusterRole", "admin"), false},
		"with bind":           {ben, nil, bind("ClusterRole", "admin"), true},
		"bind of another":     {ben, nil, bind("ClusterRole", "edit"), false},
		// It would give what it will once allow.
		"a role that is nowhere":            {ann, nil, bind("Role", "nowhere"), false},
		"one of the cluster":                {ann, nil, bind("ClusterRole", "nowhere"), false},
		"nowhere, by a master":              {root, nil, nowhere("ClusterRole"), true},
		"sums of others":                    {ann, nil, clusterRole, false},
		"the same sum":                      {ann, clusterRole, clusterRole, true},
		"a sum no more":                     {ann, clusterRole, single, false},
		"a label makes it a part of others": {ann, strong, labelled(strong), false},
		"by one who has it all":             {root, strong, labelled(strong), true},
		"a finalizer is let go":             {ann, let(role("delete")), role("delete"), true},
		"of the cluster":                    {ann, nil, clusterBinding, false},
		"masters":                           {root, nil, clusterRole, true},
	} {
		if err := MayWrite(w.State, c.who, c.old, c.next); (err == nil) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := MayWrite(w.State, ann, nil, nowhere("ClusterRole")); err == nil || err.Error() != `clusterrole.rbac.authorization.k8s.io "nowhere" not found` {
		t.Error(err)
	}
	if err := MayWrite(w.State, ann, strong, labelled(strong)); err == nil || !strings.Contains(err.Error(), "not currently held") {
		t.Error(err)
	}
	err := MayWrite(w.State, ann, nil, role("get", "delete"))
	if want := "user \"ann\" (groups=[\"a\" \"b\"]) is attempting to grant RBAC permissions not currently held:\n{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"delete\"]}"; err.Error() != want {
		t.Errorf("%v\nwant %s", err, want)
	}
}

// Whatever Rules lists is what Allowed allows, and nothing else.
func TestRulesAreWhatIsAllowed(t *testing.T) {
	w := town(t)
	verbs, resources, names := []string{"get", "list", "create", "escalate", "*"}, []string{"pods", "secrets", "configmaps", "roles"}, []string{"", "conf", "web"}
	rapid.Check(t, func(t *rapid.T) {
		who := Who{Name: rapid.SampledFrom([]string{"ann", "eva", "x"}).Draw(t, "who"), Groups: []string{"system:authenticated"}}
		ask := What{Verb: rapid.SampledFrom(verbs).Draw(t, "verb"), Resource: rapid.SampledFrom(resources).Draw(t, "resource"), Name: rapid.SampledFrom(names).Draw(t, "name"),
			Group: rapid.SampledFrom([]string{"", "apps", rbacv1.GroupName}).Draw(t, "group"), Subresource: rapid.SampledFrom([]string{"", "log", "exec"}).Draw(t, "sub"),
			Namespace: rapid.SampledFrom([]string{"", "shop", "other"}).Draw(t, "namespace")}
		allowed, _ := Allowed(w.State, who, ask)
		if listed := slices.ContainsFunc(Rules(w.State, who, ask.Namespace), ask.in); listed != allowed {
			t.Fatalf("%s: allowed %v, listed %v", fmt.Sprint(who, ask), allowed, listed)
		}
	})
}
