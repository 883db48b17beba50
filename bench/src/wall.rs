use super::counted::Images;
use std::path::Path;
pub fn running(_: &Images) -> Result<(), String> {
    Ok(())
}
pub fn side_by_side(_: &Images, _: &Path) -> Result<(), String> {
    Ok(())
}
