//! An array job of SLURM and the job that publishes after it.

use std::fs;

use super::{Programs, REQUEST, by_one_machine, digests, root, told};

use crate::common::Place;

/// What `sbatch` and `srun` do to the scripts that they are given, on one machine: array tasks side by side, jobs that
/// depend on others after them, and not at all where one failed.
const SBATCH: &str = r#"#!/usr/bin/env bash
set -euo pipefail
array=() after=
while [[ $1 == --* ]]; do
    case $1 in
        --array=*-*) range=${1#--array=}; mapfile -t array < <(seq "${range%-*}" "${range#*-}") ;;
        --array=*) array=("${1#--array=}") ;;
        --dependency=afterok:*) after=${1##*:} ;;
        --parsable | --kill-on-invalid-dep=yes) ;;
        *) echo "sbatch: $1 is not known here" >&2; exit 1 ;;
    esac
    shift
done
job=$(($(ls "$JOBS" | wc -l) + 1))
mkdir "$JOBS/$job"
echo "$*" > "$JOBS/$job/submitted"
if [[ -n $after && -e $JOBS/$after/failed ]]; then
    touch "$JOBS/$job/cancelled"
else
    tasks=()
    for task in "${array[@]:-}"; do
        (
            [[ -z $task ]] || export SLURM_ARRAY_TASK_ID=$task SLURM_ARRAY_TASK_COUNT=${#array[@]}
            [[ $task != "${KILLED:-none}" ]] || export DISINHERIT_CRASH=object:2
            SLURM_CPUS_PER_TASK=1 bash "$@" > "$JOBS/$job/out$task" 2> "$JOBS/$job/err$task" || touch "$JOBS/$job/failed"
        ) &
        tasks+=($!)
    done
    wait "${tasks[@]}"
fi
echo "$job;here"
"#;
const SRUN: &str = "#!/usr/bin/env bash\nexec \"$@\"\n";

#[test]
fn an_array_of_slurm_makes_what_one_machine_makes() {
    let grown = Place::grown();
    let wanted = by_one_machine(&grown);
    let many = grown.copy();
    let programs = Programs::new(&[("sbatch", SBATCH), ("srun", SRUN)]);
    let submit = root().join("deploy/slurm/submit.sh");
    let submitted = programs
        .command(submit, &many)
        .arg("5")
        .args(REQUEST)
        .output();
    let said = told(&submitted.unwrap());
    assert_eq!(said.trim(), "shards: job 1; publishing: job 2");
    assert_eq!(digests(&many), wanted);
    assert_eq!(many.registry().all_drafts().unwrap(), []);
}

#[test]
fn slurm_publishes_nothing_when_a_node_failed_and_goes_on_afterwards() {
    let grown = Place::grown();
    let wanted = by_one_machine(&grown);
    let many = grown.copy();
    let programs = Programs::new(&[("sbatch", SBATCH), ("srun", SRUN)]);
    let submit = root().join("deploy/slurm/submit.sh");
    let submitted = programs
        .command(&submit, &many)
        .env("KILLED", "2")
        .arg("5")
        .args(REQUEST)
        .output();
    told(&submitted.unwrap());
    assert!(
        programs.jobs().join("1/failed").exists(),
        "the kill did not strike"
    );
    assert!(programs.jobs().join("2/cancelled").exists());
    assert_eq!(digests(&many), digests(&grown), "nothing is published");
    // The page says how a failed task is submitted again.
    let again = programs
        .command("bash", &many)
        .env("DISINHERIT_SHARDS", "5")
        .args(["-c", "sbatch --array=2 \"$0\" \"$@\" && sbatch --dependency=afterok:3 \"${0/shard/publish}\" \"$@\""])
        .arg(root().join("deploy/slurm/shard.sbatch"))
        .args(REQUEST)
        .output();
    told(&again.unwrap());
    assert_eq!(digests(&many), wanted);
}

#[test]
fn nodes_with_another_version_refuse() {
    let many = Place::grown();
    let before = digests(&many);
    let programs = Programs::new(&[("sbatch", SBATCH), ("srun", SRUN)]);
    // Where it is submitted another version is installed than on the nodes.
    programs.replace(
        "disinherit",
        "[[ $1 == --version ]] && echo disinherit 0.0.9 || exec \"$0.here\" \"$@\"",
    );
    let submitted = programs
        .command(root().join("deploy/slurm/submit.sh"), &many)
        .arg("2")
        .args(REQUEST)
        .output();
    told(&submitted.unwrap());
    for task in ["1", "2"] {
        let errors = programs.jobs().join("1").join(format!("err{task}"));
        let said = fs::read_to_string(errors).unwrap();
        let this = env!("CARGO_PKG_VERSION");
        for version in ["0.0.9", this] {
            assert!(said.contains(&format!("version {version}")), "{said}");
        }
    }
    assert!(programs.jobs().join("2/cancelled").exists());
    assert_eq!(digests(&many), before);
}

#[test]
fn slurm_is_asked_with_a_number_of_shards_and_a_registry() {
    let programs = Programs::new(&[("sbatch", SBATCH)]);
    let submit = root().join("deploy/slurm/submit.sh");
    let place = Place::new();
    let mut without = programs.command(&submit, &place);
    let output = without.output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("how many shards"));
    let mut without = programs.command(&submit, &place);
    let output = without
        .env_remove("DISINHERIT_REGISTRY")
        .arg("3")
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("DISINHERIT_REGISTRY"));
}
