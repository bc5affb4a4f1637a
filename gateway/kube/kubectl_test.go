package kube_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// TestKubectl runs the real kubectl, built from its module, through a first
// week's work. The build takes minutes with a cold cache, so it is a soak test.
func TestKubectl(t *testing.T) {
	if os.Getenv("STAVE_SOAK") == "" {
		t.Skip("builds kubectl, which takes minutes: ./just soak ./gateway/kube")
	}
	h := open(t)
	dir := t.TempDir()
	kubectl := filepath.Join(dir, "kubectl")
	build := exec.Command("go", "build", "-ldflags", "-X k8s.io/component-base/version.gitVersion=v1.37.2", "-o", kubectl, ".")
	build.Dir = "testdata/kubectl"
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build kubectl: %v\n%s", err, out)
	}
	cfg := api.NewConfig()
	cfg.Clusters["c"] = &api.Cluster{Server: h.config.Host, CertificateAuthority: h.config.CAFile}
	cfg.AuthInfos["u"] = &api.AuthInfo{ClientCertificate: h.config.CertFile, ClientKey: h.config.KeyFile}
	cfg.Contexts["x"] = &api.Context{Cluster: "c", AuthInfo: "u"}
	cfg.CurrentContext = "x"
	file := filepath.Join(dir, "kubeconfig")
	if err := clientcmd.WriteToFile(*cfg, file); err != nil {
		t.Fatal(err)
	}
	seeds, err := filepath.Abs("../../cmd/stave/testdata/seeds")
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		args []string
		want string // of its whole output
	}{
		{[]string{"version"}, `Server Version: v1\.37`},
		{[]string{"apply", "-f", "08-nginx-deployment.yaml", "-f", "09-nginx-service.yaml"}, `deployment.apps/nginx-deployment created\nservice/nginx-service created`},
		{[]string{"apply", "-f", "08-nginx-deployment.yaml"}, `nginx-deployment unchanged`},
		{[]string{"diff", "-f", "08-nginx-deployment.yaml"}, `^$`},
		{[]string{"apply", "--server-side", "--force-conflicts", "-f", "08-nginx-deployment.yaml"}, `serverside-applied`},
		{[]string{"get", "all"}, `deployment.apps/nginx-deployment +0/3 +3 +0`},
		{[]string{"get", "deploy", "-o", "wide"}, `CONTAINERS +IMAGES +SELECTOR`},
		{[]string{"scale", "deploy/nginx-deployment", "--replicas=2"}, `scaled`},
		{[]string{"set", "image", "deploy/nginx-deployment", "nginx=nginx:2"}, `image updated`},
		{[]string{"label", "deploy/nginx-deployment", "a=b"}, `labeled`},
		{[]string{"rollout", "undo", "deploy/nginx-deployment"}, `rolled back`},
		{[]string{"explain", "deployment.spec.strategy.rollingUpdate"}, `maxSurge\s+<`},
		{[]string{"api-resources"}, `deployments +deploy +apps/v1 +true +Deployment`},
		{[]string{"describe", "deploy", "nginx-deployment"}, `Selector: +app=nginx`},
		{[]string{"create", "configmap", "c", "--from-literal=a=b", "--dry-run=server"}, `created \(server dry run\)`},
		{[]string{"auth", "whoami"}, `Username +admin\nGroups +\[system:masters system:authenticated\]`},
		{[]string{"create", "serviceaccount", "robot"}, `serviceaccount/robot created`},
		{[]string{"create", "token", "robot", "--duration=20m"}, `^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\n?$`},
		{[]string{"create", "role", "reader", "--verb=get,list", "--resource=pods,deployments.apps", "--save-config"}, `role.rbac.authorization.k8s.io/reader created`},
		{[]string{"create", "rolebinding", "readers", "--role=reader", "--serviceaccount=default:robot"}, `rolebinding.rbac.authorization.k8s.io/readers created`},
		{[]string{"auth", "can-i", "list", "deployments.apps", "--as=system:serviceaccount:default:robot"}, `^yes\n$`},
		{[]string{"auth", "can-i", "--list", "--as=system:serviceaccount:default:robot"}, `deployments.apps +\[\] +\[\] +\[get list\]`},
		{[]string{"get", "pods", "--as=system:serviceaccount:default:robot"}, `nginx|No resources found`},
		{[]string{"get", "rolebindings", "-o", "wide"}, `readers +Role/reader +\d+s +default/robot`},
		{[]string{"describe", "clusterrole", "system:basic-user"}, `selfsubjectaccessreviews.authorization.k8s.io +\[\] +\[\] +\[create\]`},
		{[]string{"describe", "sa", "robot"}, `Name: +robot`},
		{[]string{"delete", "-f", "08-nginx-deployment.yaml", "-f", "09-nginx-service.yaml"}, `"nginx-deployment" deleted.*\n.*"nginx-service" deleted`},
	} {
		cmd := exec.CommandContext(t.Context(), kubectl, step.args...)
		cmd.Dir, cmd.Env = seeds, append(os.Environ(), "KUBECONFIG="+file, "HOME="+dir)
		out, err := cmd.CombinedOutput()
		if err != nil || !regexp.MustCompile(step.want).Match(out) {
			t.Errorf("kubectl %v: %v; want %s in:\n%s", step.args, err, step.want, out)
		}
	}
}
