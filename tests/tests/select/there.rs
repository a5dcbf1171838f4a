// Which of two is first. `here.rs` is this file once more, to the column.
pub async fn chosen() -> &'static str {
    squall::select! { name = async { "left" } => name, name = async { "right" } => name }
}
