use super::*;
use crate::storage::LocalStore;
use uuid::Uuid;

fn session(directory: &std::path::Path) -> LiveSession {
    let store = LocalStore::open(directory, false, 1).unwrap();
    let plan = PartPlan::for_size(15 * 1024 * 1024);
    let session = Session {
        id: Uuid::new_v4(),
        workspace_id: Uuid::nil(),
        api_key_id: Uuid::nil(),
        status: Status::Uploading,
        file_id: Uuid::nil(),
        blob_id: Uuid::now_v7(),
        file_name: String::new(),
        folder: String::new(),
        size_bytes: plan.size_bytes(),
        part_size_bytes: plan.part_size_bytes(),
        mime_type: String::new(),
        tags: Vec::new(),
        metadata: None,
        custom_id: None,
        created_at: Timestamp::now(),
        expires_at: Timestamp::now(),
        verified_in_epoch: String::new(),
        declared_hash: None,
        completed_file: None,
        storage: crate::model::StorageKind::Local,
        store_upload_id: None,
        webhook_url: None,
        complete_hash: None,
        ttl_seconds: 3600,
        renewed_from: None,
    };
    let blob = store.create(session.blob_id, plan.size_bytes()).unwrap();
    LiveSession::fresh(session, plan, blob, false)
}

#[tokio::test]
async fn a_part_that_was_being_written_when_a_sync_failed_stays_missing() {
    let directory = tempfile::tempdir().unwrap();
    let live = session(directory.path());
    let (first, second) = (live.begin_part(0).await.unwrap(), live.begin_part(1).await.unwrap());
    assert!(live.part_recorded(0, first, vec![1]));
    live.forget_parts();
    assert!(!live.part_recorded(1, second, vec![1]));
    assert_eq!(live.parts(), (vec![], vec![0, 1]));
    let again = live.begin_part(1).await.unwrap();
    assert!(live.part_recorded(1, again, vec![1]));
    assert_eq!(live.parts(), (vec![1], vec![0]));
}

#[tokio::test]
async fn a_sync_in_the_middle_of_a_part_does_not_make_it_safe() {
    let directory = tempfile::tempdir().unwrap();
    let live = session(directory.path());
    let begun = live.begin_part(0).await.unwrap();
    live.set_unsynced(false);
    assert!(live.part_recorded(0, begun, vec![1]));
    assert!(live.is_unsynced());
}
