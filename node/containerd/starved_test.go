package containerd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestStarved(t *testing.T) {
	const line = "4,1,1,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=c,mems_allowed=0,oom_memcg=/stave-x/podp,task_memcg=GROUP,task=NAME,pid=PID,uid=0\n"
	said := func(group, name, pid string) string {
		return strings.NewReplacer("GROUP", group, "NAME", name, "PID", pid).Replace(line)
	}
	file := filepath.Join(t.TempDir(), "kmsg")
	for _, c := range []struct{ messages, want string }{
		{"", ""},
		{"4,1,1,-;something else\n" + said("/stave-x/podp/a", "tail", "7"), "tail (pid 7)"},
		{said("/stave-x/podp/b", "tail", "7"), ""},
		{said("/stave-x/podp/a", "a,b", "7") + said("/stave-x/podp/a", "sh", "8"), "a,b (pid 7), sh (pid 8)"},
		{strings.Repeat(said("/stave-x/podp/a", "x", "1"), 5), "x (pid 1), x (pid 1), x (pid 1), 2 more"},
	} {
		if err := os.WriteFile(file, []byte(c.messages), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, machine := starved(file, "/stave-x/podp/a"); got != c.want || machine {
			t.Errorf("%q: %q, want %q", c.messages, got, c.want)
		}
	}
	if got, _ := starved("/nowhere", "/"); got != "" {
		t.Error(got)
	}
	whole := strings.Replace(said("/stave-x/podp/a/inner", "sh", "9"), "oom_memcg=/stave-x/podp", "global_oom", 1)
	if err := os.WriteFile(file, []byte(whole), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, machine := starved(file, "/stave-x/podp/a"); got != "sh (pid 9)" || !machine {
		t.Errorf("the machine's memory: %q, %v", got, machine)
	}
}

func TestStrainedPod(t *testing.T) {
	for message, want := range map[string]string{
		"4,1,1,-;oom-kill:constraint=CONSTRAINT_MEMCG,oom_memcg=/stave-x/podp1,task_memcg=/stave-x/podp1/c.0,task=sh,pid=7,uid=0\n": "p1",
		"6,1,1,-;cgroup: fork rejected by pids controller in /stave-x/podp2/c.0\n":                                                  "p2",
		"6,1,1,-;cgroup: fork rejected by pids controller in /stave-xy/podp2/c.0\n":                                                 "",
		"6,1,1,-;cgroup: fork rejected by pids controller in /user.slice\n":                                                         "",
		"6,1,1,-;eth0: link is up\n": "",
	} {
		if got, ok := strainedPod([]byte(message), []byte("/stave-x/pod")); got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v", message, got, ok)
		}
	}
}
