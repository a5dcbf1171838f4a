//! Directed graphs of many nodes, and their strongly connected components.

/// No node.
pub(crate) const NONE: u32 = u32::MAX;

/// Edges as they are found.
pub(crate) struct Edges<L> {
    list: Vec<(u32, u32, L)>,
    nodes: u32,
}

impl<L: Copy> Edges<L> {
    /// Between so many nodes.
    pub fn new(nodes: u32) -> Edges<L> {
        Edges { list: Vec::new(), nodes }
    }

    /// One more node.
    pub fn node(&mut self) -> u32 {
        self.nodes += 1;
        self.nodes - 1
    }

    /// None from nobody or to nobody, and none to itself.
    pub fn add(&mut self, from: u32, to: u32, label: L) {
        if from != to && from != NONE && to != NONE {
            self.list.push((from, to, label));
        }
    }

    pub fn finish(self) -> Graph<L> {
        let mut begins = vec![0_u32; self.nodes as usize + 1];
        for (from, _, _) in &self.list {
            begins[*from as usize + 1] += 1;
        }
        for node in 1..begins.len() {
            begins[node] += begins[node - 1];
        }
        let mut places = begins.clone();
        let Some(&(_, _, any)) = self.list.first() else { return Graph { begins, edges: Vec::new() } };
        let mut edges = vec![(NONE, any); self.list.len()];
        for (from, to, label) in self.list {
            let place = &mut places[from as usize];
            edges[*place as usize] = (to, label);
            *place += 1;
        }
        Graph { begins, edges }
    }
}

pub(crate) struct Graph<L> {
    /// Where the edges of each node begin, and the end.
    begins: Vec<u32>,
    edges: Vec<(u32, L)>,
}

impl<L: Copy> Graph<L> {
    pub fn nodes(&self) -> usize {
        self.begins.len() - 1
    }

    /// The edges from a node, in the order in which they were found.
    pub fn from(&self, node: u32) -> &[(u32, L)] {
        &self.edges[self.begins[node as usize] as usize..self.begins[node as usize + 1] as usize]
    }

    /// The strongly connected components of more than one state, by Tarjan ("Depth-first search and linear graph algorithms", SIAM Journal on
    /// Computing 1 (1972)), without recursion; of each its nodes.
    ///
    /// A state is a node and a flag below `flags`, 0 at first; `step` says what becomes of the flag by an edge, and `None` if the edge may
    /// not be taken.
    pub fn components(&self, flags: u32, step: impl Fn(u32, L) -> Option<u32>) -> Vec<Vec<u32>> {
        // What the number is of a state whose component is known.
        const DONE: u32 = NONE - 1;
        let count = self.nodes() * flags as usize;
        // The lowest number that a state is known to come to. One that wasn't met has none.
        let (mut low, mut number) = (vec![NONE; count], 0);
        let mut stack: Vec<u32> = Vec::new();
        // Each with its own number, and the next edge to take.
        let mut path: Vec<(u32, u32, u32)> = Vec::new();
        let mut found = Vec::new();
        for root in (0..count as u32).step_by(flags as usize) {
            if low[root as usize] != NONE {
                continue;
            }
            let mut next_root = Some(root);
            loop {
                if let Some(state) = next_root.take() {
                    low[state as usize] = number;
                    path.push((state, number, 0));
                    stack.push(state);
                    number += 1;
                }
                let Some((state, own, next)) = path.last_mut() else { break };
                let (state, own) = (*state, *own);
                if let Some(&(to, label)) = self.from(state / flags).get(*next as usize) {
                    *next += 1;
                    let Some(flag) = step(state % flags, label) else { continue };
                    let to = to * flags + flag;
                    match low[to as usize] {
                        NONE => next_root = Some(to),
                        DONE => {}
                        other => low[state as usize] = low[state as usize].min(other),
                    }
                    continue;
                }
                path.pop();
                let lowest = low[state as usize];
                if let Some(&(before, _, _)) = path.last() {
                    low[before as usize] = low[before as usize].min(lowest);
                }
                if lowest < own {
                    continue;
                }
                let from = stack.iter().rposition(|on| *on == state).expect("it was put there");
                let members = stack.split_off(from);
                for member in &members {
                    low[*member as usize] = DONE;
                }
                if members.len() > 1 {
                    let mut nodes: Vec<u32> = members.iter().map(|member| member / flags).collect();
                    nodes.sort_unstable();
                    nodes.dedup();
                    found.push(nodes);
                }
            }
        }
        found
    }
}
