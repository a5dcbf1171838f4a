//! The `squall` binary: runs the scenarios of this repository.

fn main() {
    for program in squall_scenarios::programs() {
        println!("{}: {}", program.name, program.about);
    }
}
